"""What is printed, and how: tables for people, the API's own documents for programs.

Data goes to stdout, words about it to stderr. Colours and widths are decided here, once: ``--no-color``, ``NO_COLOR``,
``FORCE_COLOR``, ``TERM=dumb``, and whether a terminal listens.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from textwrap import indent
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from fleet.api.words import NOTHING
from fleet.cli.session import YAML, Session

if TYPE_CHECKING:
    from rich.console import Console

    from fleet.api.form import Answer
    from fleet.api.selectors import Selector

NARROWEST = 40
"""Columns of the narrowest terminal that a table is fitted to."""
NONE_KNOWN = "no containers; is an agent running? see: fleet host ls"
"""What is said where no container is known at all."""
NONE_FITS = "no container fits; see all of them with: fleet ps"
"""What is said where none is known of those that one asks for."""
_UNREADABLE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb]")
"""What is no sign to read: control characters beyond ASCII's first, what turns the direction of text, halves of pairs."""
_GAP = 2
_SHORT = 28
"""The width down to which a long column is shortened before another one is given up, where it names none."""
_SHORTEST = 8

COLOURS = {
    **dict.fromkeys(
        ("updated", "went back", "online", "current", "succeeded", "completed", "PASS", "served", "passed"), "green"
    ),
    **dict.fromkeys(
        (
            "error",
            "failed",
            "rolled_back",
            "rolled back",
            "rollback_failed",
            "FAIL",
            "abandoned",
            "unhealthy",
            "expired",
        ),
        "red",
    ),
    **dict.fromkeys(
        (
            "warning",
            "outdated",
            "silent",
            "WARN",
            "completed_with_failures",
            "completed with failures",
            "aborted",
            "unknown",
        ),
        "yellow",
    ),
    **dict.fromkeys(("running", "pulling", "applying", "ready", "dispatched"), "cyan"),
}
"""Words with a colour; the word itself always stands there too."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    rank: int = 0
    """0 is always shown; the highest goes first where the terminal is narrow."""
    right: bool = False
    least: int = _SHORT
    """The width down to which its cells are shortened before another column is given up."""
    brief: Callable[[str], str] | None = None
    """What a cell is cut down to where the terminal has not room for all."""
    by: Callable[[Any], Any] | None = None
    """What it is sorted by, of what the row is about; None: by its cells."""
    wraps: bool = False
    """Whether a cell that is too long goes on in the next line, since all of its words count."""

    def always(self) -> "Column":
        """Return the column as one that is shown however narrow the terminal is."""
        return replace(self, rank=0)


def colourful(session: Session, stream: TextIO) -> bool:
    """Tell whether *stream* gets colours."""
    if session.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def rich_console(session: Session, stream: TextIO) -> "Console":
    """Return a console of rich on *stream*, with our own decision about colours."""
    from rich.console import Console

    colour = colourful(session, stream)
    return Console(
        file=stream, no_color=not colour, force_terminal=True if colour else None, highlight=False, soft_wrap=False
    )


def say(text: str) -> None:
    """Tell the person something about what is printed, or why nothing is; never data."""
    click.echo(clean_lines(text), err=True)


def working(session: Session, text: str) -> AbstractContextManager[object]:
    """Show *text* while something takes its time, where a person watches; nothing elsewhere."""
    if session.json or not sys.stderr.isatty():
        return nullcontext()
    return rich_console(session, sys.stderr).status(f"{text} ...")


def print_json(document: Any) -> None:
    """Print a document; to people with indents, to a pipe as well, so that a diff shows lines. As YAML where that is wanted."""
    context = click.get_current_context(silent=True)
    session = context.find_object(Session) if context else None
    if session is None or session.output != YAML:
        click.echo(json_text(document, indent=2))
        return
    from fleet.cli.yaml_form import yaml_of

    # What is no plain word stands in quotes there, and takes the escapes of JSON.
    click.echo(_escaped(yaml_of(document)), nl=False)


def json_text(document: Any, *, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """Return *document* as JSON for a terminal or a program: signs that people read stand as they are, all others escaped.

    JSON itself wants no more escaped than the first of the control characters, and there are others that steer a terminal.
    """
    return _escaped(json.dumps(document, indent=indent, separators=separators, ensure_ascii=False))


def _escaped(text: str) -> str:
    return _UNREADABLE.sub(lambda found: json.dumps(found[0])[1:-1].replace("\x7f", "\\u007f"), text)


def print_answer(session: Session, answer: "Answer") -> bool:
    """Print *answer* where one document was asked for; return whether it was."""
    if session.json:
        print_json(answer.document())
    return session.json


def print_pages(session: Session, pages: Iterable["Answer"], name: str, rest: Callable[[], "Answer"]) -> bool:
    """Print *pages* as the one document that they are parts of, where one was asked for; return whether it was.

    *name* is the field of their list, of which JSON is written as it comes; *rest* tells the other fields once all came.
    """
    if not session.json:
        return False
    if session.output == YAML:
        items = [item.model_dump(mode="json") for page in pages for item in getattr(page, name)]
        print_json({**rest().document(), name: items})
        return True
    from fleet.api.form import SCHEMA

    begun = False
    click.echo(f'{{\n  "schema": {json_text(SCHEMA)},\n  {json_text(name)}: [', nl=False)
    for page in pages:
        for item in getattr(page, name):
            written = indent(json_text(item.model_dump(mode="json"), indent=2), "    ")
            click.echo(f"{',' if begun else ''}\n{written}", nl=False)
            begun = True
    click.echo("\n  ]" if begun else "]", nl=False)
    for field, value in rest().document().items():
        if field not in ("schema", name):
            click.echo(f",\n  {json_text(field)}: {json_text(value)}", nl=False)
    click.echo("\n}")
    return True


def print_table(
    session: Session, columns: Sequence[Column], rows: Iterable[Sequence[str]], empty: str | Callable[[], str]
) -> None:
    """Print a table: fitted to the terminal where one listens, in full elsewhere; *empty* is said where no row is."""
    cells = [tuple(map(clean, row)) for row in rows]
    if not cells:
        say(empty if isinstance(empty, str) else empty())
        return
    if sys.stdout.isatty():
        _print_fitted(session, columns, cells)
    else:
        print_plain(columns, cells, headers=not session.no_headers)


def clean(text: str) -> str:
    """Return *text* without control characters: what a host wrote must not steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def clean_lines(text: str) -> str:
    """Return *text* as :func:`clean` does, in as many lines as it has."""
    return "\n".join(map(clean, text.split("\n")))


def paint(session: Session, word: str, text: str | None = None) -> str:
    """Return *text* (or the word itself) in the word's colour, where stdout gets colours."""
    text = word if text is None else text
    colour = COLOURS.get(word)
    return click.style(text, fg=colour) if colour and colourful(session, sys.stdout) else text


def none_of(selector: "Selector") -> str:
    """Return what is said where no container is found for *selector*."""
    return NONE_FITS if selector.document() else NONE_KNOWN


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> dict[int, int]:
    """Return the places of the columns that fit into *width*, each with the width that it gets.

    Those of rank 0 are always there. Where not all of them fit, those that say nothing go first, and the longest cells are
    shortened before another column is given up.
    """
    natural = [max(len(c.title), *(len(row[i]) for row in rows)) for i, c in enumerate(columns)]
    least = [min(n, max(c.least, len(c.title))) for n, c in zip(natural, columns, strict=True)]
    kept = list(range(len(columns)))
    if sum(n + _GAP for n in natural) - _GAP > width:
        kept = [i for i in kept if not columns[i].rank or any(row[i] != NOTHING for row in rows)]
    while sum(least[i] + _GAP for i in kept) - _GAP > width:
        last = max(kept, key=lambda i: (columns[i].rank, i))
        if columns[last].rank == 0:
            break
        kept.remove(last)
    return _shrunk({i: natural[i] for i in kept}, least, width)


def shorten(text: str, width: int) -> str:
    """Return *text* in at most *width* signs: its middle goes, since tags and digests stand at the end."""
    if len(text) <= width:
        return text
    end = (width - 1) // 3
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def in_brief(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Sequence[Sequence[str]]:
    """Return the rows as they are where all of them fit into *width*, else cut down where a column says how."""
    whole = [max(len(c.title), *(len(row[i]) for row in rows)) for i, c in enumerate(columns)]
    if sum(n + _GAP for n in whole) - _GAP <= width:
        return rows
    return [[c.brief(cell) if c.brief else cell for cell, c in zip(row, columns, strict=True)] for row in rows]


def _shrunk(widths: dict[int, int], least: Sequence[int], width: int) -> dict[int, int]:
    """Take from the widest column, again and again, until all fit or all are short; first from those that may be cut."""
    over = sum(n + _GAP for n in widths.values()) - _GAP - width
    while over > 0:
        long = [i for i in widths if widths[i] > least[i]] or list(widths)
        widest = max(long, key=lambda i: widths[i])
        if widths[widest] <= _SHORTEST:
            break
        widths[widest] -= 1
        over -= 1
    return widths


def _print_fitted(session: Session, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    width = max(NARROWEST, shutil.get_terminal_size((80, 24)).columns)
    rows = in_brief(columns, rows, width)
    widths = fitting(columns, rows, width)
    table = Table(
        box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=not session.no_headers
    )
    for i in widths:
        justify: Literal["left", "right"] = "right" if columns[i].right else "left"
        table.add_column(
            columns[i].title, justify=justify, no_wrap=not columns[i].wraps, overflow="fold", width=widths[i]
        )
    for row in rows:
        cells = {i: row[i] if columns[i].wraps else shorten(row[i], n) for i, n in widths.items()}
        table.add_row(*(Text(cell, style=COLOURS.get(row[i], "")) for i, cell in cells.items()))
    console = rich_console(session, sys.stdout)
    console.width = width
    console.print(table)


def print_plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, headers: bool = True) -> None:
    """Print every column in full, whatever listens."""
    # Not copied: a table may have as many rows as the fleet has containers.
    titles = [[c.title for c in columns]] if headers else []
    widths = [max(len(line[i]) for line in chain(titles, rows)) for i in range(len(columns))]
    for line in chain(titles, rows):
        padded = (cell.rjust(w) if c.right else cell.ljust(w) for cell, w, c in zip(line, widths, columns, strict=True))
        click.echo((" " * _GAP).join(padded).rstrip())
