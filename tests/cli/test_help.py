"""What ``fleet help`` tells: topics that are true, and any command."""

import ast
import re
from pathlib import Path

import click
import pytest

import fleet.cli
from fleet.cli import topics
from fleet.cli.main import fleet as command_line
from fleet.errors import FleetError
from tests.cli.conftest import Fleet


@pytest.mark.parametrize("topic", topics.TOPICS)
def test_each_topic_is_told(fleet: Fleet, topic: str) -> None:
    ran = fleet("help", topic)
    assert (ran.code, ran.out.rstrip("\n"), ran.err) == (0, topics.TOPICS[topic][1], "")
    assert max(map(len, ran.lines)) <= 120


def test_without_a_word_it_is_the_help_and_the_topics(fleet: Fleet) -> None:
    ran = fleet("help")
    assert ran.lines[0] == "Usage: fleet [OPTIONS] COMMAND [ARGS]..."
    assert all(f"  {name} " in ran.out for name in topics.TOPICS)


def test_a_command_is_told_of_as_by_its_own_option(fleet: Fleet) -> None:
    for words in (("host", "ls"), ("schedule",), ("update",)):
        asked, own = fleet("help", *words), fleet(*words, "--help")
        assert (asked.code, asked.out) == (0, own.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("exit-code",), "exit-codes"), (("hsot",), "host"), (("host", "lss"), "ls"), (("ps", "x"), "x")],
)
def test_a_misspelled_word_is_answered_with_the_right_one(fleet: Fleet, words: tuple[str, ...], said: str) -> None:
    ran = fleet("help", *words)
    assert (ran.code, ran.out) == (2, "")
    assert f"'{said}'" in ran.err


def test_every_variable_that_the_command_line_reads_is_told() -> None:
    """Those that options name, and those that the code of the commands asks the environment for by name."""
    named = {param.envvar for param in command_line.params if isinstance(param, click.Option) and param.envvar}
    for file in Path(fleet.cli.__path__[0]).glob("*.py"):
        asked = re.findall(r"environ(?:\.get)?[(\[]\s*(\"[A-Z_]+\")", file.read_text())
        named |= {str(ast.literal_eval(each)) for each in asked}
    assert named - {"FLEET_STATE_DIR"} <= set(topics.ENVIRONMENT)
    assert len(named) > 8


def test_every_exit_code_of_an_error_is_told() -> None:
    def tree(kind: type[FleetError]) -> set[int]:
        return {kind.exit_code}.union(*map(tree, kind.__subclasses__()))

    assert tree(FleetError) <= set(topics.EXIT_CODES)


def test_the_documentation_tells_the_same_exit_codes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    told = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page, re.M))
    assert {code: text.replace("`", "") for code, text in told.items()} == {
        str(code): text for code, text in topics.EXIT_CODES.items()
    }
