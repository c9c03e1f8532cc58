"""Lists in five forms: a table for the terminal, all of its columns, one JSON document, JSON lines, and CSV.

JSON lines and CSV are written page by page, as they come: a whole history goes through in little memory.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fleet.cli.console import Column, print_plain, print_table, say
from fleet.cli.session import CSV, FORMATS, JSONL, WIDE, Leaf, Session

if TYPE_CHECKING:
    from pydantic import BaseModel

P = TypeVar("P", bound="BaseModel")


class Listing(Leaf):
    """A leaf that prints a list, in the form that is wanted."""

    forms = FORMATS


def print_items(
    session: Session,
    columns: Sequence[Column],
    items: Iterable[P],
    cells: Callable[[P], Sequence[str]],
    empty: str,
) -> None:
    """Print *items* in any form but ``json``: a row of *cells* each, or all that the API says of each."""
    if session.output == JSONL:
        for item in items:
            click.echo(item.model_dump_json())
    elif session.output == CSV:
        _print_csv(items)
    elif session.output == WIDE:
        rows = [cells(item) for item in items]
        print_plain(columns, rows) if rows else say(empty)
    else:
        print_table(session, columns, (cells(item) for item in items), empty)


def print_one(session: Session, document: dict[str, Any]) -> bool:
    """Print *document* where JSON lines or CSV were asked for, as a list of one; return whether they were."""
    if session.output == JSONL:
        click.echo(json.dumps(document, ensure_ascii=False))
    elif session.output == CSV:
        _write_csv([document])
    return session.output in (JSONL, CSV)


def _print_csv(items: Iterable["BaseModel"]) -> None:
    _write_csv(item.model_dump(mode="json") for item in items)


def _write_csv(documents: Iterable[dict[str, Any]]) -> None:
    """Write a line of names and a line a document; lists and objects stand as JSON in their cell.

    A text that a spreadsheet would calculate gets an apostrophe before it: it may be what a host wrote.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    began = False
    for document in documents:
        if not began:
            writer.writerow(document)
            began = True
        writer.writerow(map(_cell, document.values()))


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_CALCULATED) else value


_CALCULATED = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with in a spreadsheet."""


_BLOCKS = "▁▂▃▄▅▆▇█"
BAR = 20
"""How long the longest bar is, in signs."""


def sparkline(values: Sequence[float]) -> str:
    """Return one block a value, the highest for the greatest, a dot for none; empty where stdout takes no such signs."""
    if not _draws():
        return ""
    most = max(values, default=0)
    return "".join(_BLOCKS[max(0, round(value / most * len(_BLOCKS)) - 1)] if value else "·" for value in values)


def bar(value: float, most: float) -> str:
    """Return a bar as long as *value* is beside *most*; empty where stdout takes no such signs."""
    return "█" * max(1, round(value / most * BAR)) if _draws() and value and most else ""


def _draws() -> bool:
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")
