"""How the command starts: quickly, with nothing that help and completion do not need."""

import importlib
import os
import resource
import subprocess
import sys

import click
import pytest

from fleet.cli.lazy import LazyGroup
from fleet.cli.main import COMMANDS, WORDS_OF_OTHERS
from fleet.cli.main import fleet as command_line
from tests.cli.conftest import Fleet

HEAVY = ("sqlalchemy", "httpx2", "rich", "pydantic", "fastapi", "celery", "redis", "docker", "joserfc", "asyncio")
"""What costs time and is needed by no help and no completion."""
OWN = sorted(set(COMMANDS) - {"up", "agent", "controller", "init"})
QUICK_S = 0.25
"""About twice what a start takes (0.12 s)."""


def _loaded(code: str, **environment: str) -> tuple[set[str], str]:
    """Run *code* in a new process; return which heavy modules it loaded, and what it printed."""
    probe = f"import sys\n{code}\nprint('\\0' + ' '.join(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return set(done.stderr.rpartition("\0")[2].split()), done.stdout


def test_help_loads_nothing_heavy() -> None:
    loaded, out = _loaded("from fleet.cli.main import run\nrun(['--help'])")
    assert loaded == set()
    assert all(name in out for name in COMMANDS)


def test_help_of_every_command_loads_nothing_heavy() -> None:
    calls = "\n".join(f"run(['{name}', '--help'])" for name in COMMANDS)
    loaded, _ = _loaded(f"from fleet.cli.main import run\n{calls}")
    assert loaded == set()


def test_help_of_every_subcommand_loads_nothing_heavy() -> None:
    calls = "\n".join(f"run({[*path, '--help']!r})" for path in _leaves())
    loaded, _ = _loaded(f"from fleet.cli.main import run\n{calls}")
    assert loaded == set()


@pytest.mark.parametrize(
    ("words", "expected"), [("fleet ho", "host"), ("fleet host r", "rename"), ("fleet update --t", "--timeout")]
)
def test_completion_loads_nothing_heavy(words: str, expected: str) -> None:
    code = "from fleet.cli.main import fleet\ntry:\n    fleet.main(prog_name='fleet')\nexcept SystemExit:\n    pass"
    last = str(len(words.split()) - 1)
    loaded, out = _loaded(code, _FLEET_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=last)
    assert loaded == set()
    assert expected in out


def test_help_comes_quickly() -> None:
    """Each press of Tab pays for it. Counted in seconds of a processor, which a busy machine changes little."""

    def start() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "fleet.cli.main", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(start() for _ in range(5)) < QUICK_S


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_that_is_known_without_loading_agrees(name: str) -> None:
    """Every command is where the table says, and its own first sentence says the same thing or more."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    if name in OWN:
        assert command.help.split()[0] == COMMANDS[name].help.split()[0]


def test_a_misspelled_command_is_answered_with_the_right_one(fleet: Fleet) -> None:
    ran = fleet("hsot")
    assert ran.code == 2
    assert "host" in ran.err


@pytest.mark.parametrize("word", WORDS_OF_OTHERS)
def test_a_word_of_another_program_is_answered_with_what_it_is_here(word: str, fleet: Fleet) -> None:
    """And each of these answers is a command that there is."""
    ran = fleet(word)
    assert ran.code == 2
    meant = ran.err.rpartition("Here it is: ")[2].strip()
    assert meant == WORDS_OF_OTHERS[word]
    for command in meant.split(", or "):
        assert fleet(*command.removeprefix("fleet ").split(), "--help").code == 0, command


def test_the_global_options_are_taken_before_and_after_the_name(fleet: Fleet) -> None:
    for args in (("-o", "json", "version"), ("version", "-o", "json")):
        ran = fleet(*args)
        assert (ran.code, ran.out[0]) == (0, "{"), args


def test_every_command_takes_the_global_options(fleet: Fleet) -> None:
    for path in _leaves():
        if path[0] in OWN:
            assert "--output" in fleet(*path, "--help").out, path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_shell_gets_its_completion_script(fleet: Fleet, shell: str) -> None:
    ran = fleet("completion", shell)
    assert ran.code == 0
    assert "_FLEET_COMPLETE" in ran.out


def _leaves() -> list[list[str]]:
    group = command_line
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    found: list[list[str]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += [[name, sub] for sub in command.list_commands(context)]
        else:
            found.append([name])
    return found
