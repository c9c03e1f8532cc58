"""What the documentation shows is there: every link, every command with its options, every make target."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fleet.cli.main import fleet

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"```(?:sh|console)\n(.*?)```", re.S)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
INDEX, DECISIONS = ROOT / "docs/README.md", ROOT / "docs/decisions"


def pages() -> list[object]:
    """Return the pages by their paths."""
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


def lines(page: Path) -> Iterator[str]:
    """Yield what a person would type: fenced lines, their continuations joined, and inline code."""
    text = page.read_text()
    for block in _FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.removeprefix("$ ").partition(" #")[0].partition(" >")[0].strip(" ()")
    yield from _INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.S))


def links(page: Path) -> list[tuple[str, str]]:
    """Return file and heading of each link of a page that stays in this repository; either may be empty."""
    return [found for found in _LINK.findall(page.read_text()) if "://" not in found[0]]


def headings(page: Path) -> set[str]:
    """Return what links call the headings of a page."""
    named = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in named}


def fleet_commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each ``fleet`` command."""
    for line in lines(page):
        for part in re.split(r"&&|;", line):
            words = shlex.split(part.replace("'", '"')) if part.count('"') % 2 == 0 and part.count("'") % 2 == 0 else []
            if "fleet" in words and words[0] in ("fleet", "docker"):
                yield words[words.index("fleet") + 1 :]


def known(words: list[str]) -> str:
    """Return what is unknown in the arguments of one command, empty for nothing."""
    command: click.Command = fleet
    context = click.Context(fleet)
    options = _options(fleet, context)
    for number, word in enumerate(words):
        if word == "--":
            break  # what follows is another program's
        if word.startswith("$"):
            continue  # what a shell puts there
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            if name not in options | {"-o", "--output", "-h", "--help"} and not name.lstrip("-").isdigit():
                return f"{name} of {command.name}"
        elif isinstance(command, click.Group) and number == len([w for w in words[:number] if not w.startswith("-")]):
            found = command.get_command(context, word)
            if found is None:
                return "" if word.isupper() or not command.list_commands(context) else f"{word} of {command.name}"
            command = found
            context = click.Context(command, parent=context)
            options |= _options(command, context)
    return ""


def _options(command: click.Command, context: click.Context) -> set[str]:
    if isinstance(command, click.Group) and (default := command.get_command(context, "ls")) and command is not fleet:
        # A group whose command is left out means ls, with its options.
        return _options(default, click.Context(default, parent=context))
    return {name for param in command.get_params(context) for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files of this repository that a page names are there."""
    missing = [target for target, _ in links(page) if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", pages())
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    """Also after somebody has given a heading better words."""
    named = [(page.parent / target if target else page, heading) for target, heading in links(page) if heading]
    lost = [f"{to.name}#{heading}" for to, heading in named if to.suffix == ".md" and heading not in headings(to)]
    assert lost == []


def test_the_index_leads_to_every_page() -> None:
    """Nobody has to list the folder to find one."""
    seen, ahead = set[Path](), [INDEX]
    while ahead:
        page = ahead.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            ahead += [(page.parent / target).resolve() for target, _ in links(page) if target]
    assert sorted(str(page.relative_to(ROOT)) for page in PAGES if page not in seen) == []


def test_the_index_of_decisions_has_each_of_them_once() -> None:
    """By subject, so that a row is easily forgotten, or written twice."""
    listed = sorted(target for target, _ in links(DECISIONS / "README.md"))
    assert listed == sorted(page.name for page in DECISIONS.glob("[0-9]*.md"))


@pytest.mark.parametrize("page", pages())
def test_every_command_is_there(page: Path) -> None:
    """No page shows a command or an option that the program does not have."""
    unknown = [(" ".join(words), what) for words in fleet_commands(page) if (what := known(words))]
    assert unknown == []


@pytest.mark.parametrize("page", pages())
def test_every_make_target_is_there(page: Path) -> None:
    """And no target that the Makefile does not have."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    shown = {m for line in lines(page) for m in re.findall(r"^make ([a-z-]+)", line)}
    assert shown <= targets


def test_commands_are_found_at_all() -> None:
    """The tests above look at something."""
    assert len([words for page in PAGES for words in fleet_commands(page)]) > 40
    assert known(["host", "add", "x", "--nonsense"]) == "--nonsense of add"
    assert known(["nonsense"]) == "nonsense of fleet"


def test_the_figures_of_the_fault_matrix_are_those_of_its_page() -> None:
    """The README says how many faults there are and how many rows hold; ``make faults`` writes both."""
    page, readme = (ROOT / "docs/fault-matrix.md").read_text(), (ROOT / "README.md").read_text()
    counted = [(int(held), int(rows)) for held, rows in re.findall(r"^(\d+) of (\d+) rows hold", page, re.M)]
    held, rows = map(sum, zip(*counted, strict=True))
    faults = counted[0][1] - len(
        re.findall(r"^\| no fault", page.partition("rows hold")[2].partition("rows hold")[0], re.M)
    )
    assert f"{faults} faults of a mirror" in readme
    assert f"{held} of {rows} rows hold" in readme
