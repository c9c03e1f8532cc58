"""Lists in every form: a table for the terminal, all of its columns, one document of JSON or YAML, JSON lines, CSV, and names.

JSON lines and CSV are written page by page, as they come: a whole history goes through in little memory. Every list
takes the same options for what of it is printed and how: columns, order, headers, and names alone.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fleet.api.csv_form import cell
from fleet.cli import view
from fleet.cli.console import Column, clean, clean_lines, json_text, print_plain, print_table, say
from fleet.cli.session import CSV, FORMATS, JSONL, NAME, TABLE, WIDE, Leaf, Session, noting
from fleet.errors import BadInput

if TYPE_CHECKING:
    from pydantic import BaseModel

    Fields = type[BaseModel] | Sequence[str]
    """What each item of a list says: a model of the API, or the names of its parts."""

P = TypeVar("P", bound="BaseModel | dict[str, Any]")


class Formed(Leaf):
    """A leaf that prints what it has in any form."""

    forms = tuple(form for form in FORMATS if form != NAME)


class Listing(Formed):
    """A leaf that prints a list, in the form, the columns and the order that are wanted."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """Add the options of lists to the command's own."""
        super().__init__(*args, **more)
        self.params[-1:-1] = noting(
            click.Option(["--columns"], metavar="A,B", help="Which columns, in this order; of csv, which fields."),
            click.Option(["--sort"], metavar="COLUMN", help="By this column; -COLUMN begins with the greatest."),
            click.Option(["--no-headers"], is_flag=True, help="No line of titles."),
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; raise BadInput where columns or an order were asked for of a document that is printed as it is."""
        session = ctx.ensure_object(Session)
        given = [name for name in ("quiet", "columns", "sort", "no_headers") if getattr(session, name)]
        if "output" not in session.told and (session.quiet or (session.json and given)):
            session.output = TABLE  # what is asked for comes before what is usual
        if session.json and given:
            option = f"--{given[0].replace('_', '-')}"
            raise BadInput(
                f"cannot use {option} with -o {session.output}, which is the API's own document; choose -o table or jsonl"
            )
        if session.quiet and session.output in (JSONL, CSV):
            raise BadInput(f"cannot print names alone as {session.output}; leave out -q or -o {session.output}")
        return super().invoke(ctx)


class NamedListing(Listing):
    """A list of things with a name (or an id), by which other commands take them; ``-o name`` is ``-q``."""

    forms = FORMATS

    def __init__(self, *args: Any, **more: Any) -> None:
        """Add the option that prints names alone."""
        super().__init__(*args, **more)
        self.params[-1:-1] = noting(
            click.Option(["-q", "--quiet"], is_flag=True, help="Names alone, one a line, as other commands take them.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        session = ctx.ensure_object(Session)
        if session.output == NAME:
            session.output, session.quiet = TABLE, True
        return super().invoke(ctx)


def print_items(
    session: Session,
    columns: Sequence[Column],
    items: Iterable[P],
    cells: Callable[[P], Sequence[str]],
    empty: str | Callable[[], str],
    *,
    fields: "Fields",
    name: Callable[[P], str] | None = None,
) -> None:
    """Print *items* in any form but ``json``: the *name* of each, a row of *cells*, or its *fields* as the API says them.

    Raises BadInput for a column that is not there.
    """
    if session.output in (JSONL, CSV):
        _print_documents(session, items, fields)
        return
    ordered = _in_order(session, columns, items, cells)
    if session.quiet and name is not None:
        for item in ordered:
            click.echo(clean(name(item)))
        return
    shown = view.places([c.title for c in columns], session.columns) if session.columns else range(len(columns))
    wanted = [columns[i].always() if session.columns else columns[i] for i in shown]
    rows = ([row[i] for i in shown] for row in map(cells, ordered))
    if session.output == WIDE:
        _print_wide(session, wanted, [tuple(map(clean, row)) for row in rows], empty)
    else:
        print_table(session, wanted, rows, empty)


def _in_order(
    session: Session, columns: Sequence[Column], items: Iterable[P], cells: Callable[[P], Sequence[str]]
) -> Iterable[P]:
    if not session.sort:
        return items
    at = view.place([c.title for c in columns], session.sort.removeprefix("-"))
    by = columns[at].by
    return view.sort(items, by or (lambda item: cells(item)[at]), downwards=session.sort.startswith("-"))


def _print_wide(
    session: Session, columns: Sequence[Column], rows: Sequence[Sequence[str]], empty: str | Callable[[], str]
) -> None:
    if rows:
        print_plain(columns, rows, headers=not session.no_headers)
    else:
        say(empty if isinstance(empty, str) else empty())


def _print_documents(session: Session, items: Iterable["BaseModel | dict[str, Any]"], fields: "Fields") -> None:
    known = list(fields) if isinstance(fields, Sequence) else list(fields.model_fields)
    wanted = [known[i] for i in view.places(known, session.columns)] if session.columns else known
    documents: Iterable[dict[str, Any]] = map(_document, items)
    if session.sort:
        by = known[view.place(known, session.sort.removeprefix("-"))]
        documents = view.sort(documents, lambda document: document[by], downwards=session.sort.startswith("-"))
    chosen = ({name: document[name] for name in wanted} for document in documents)
    if session.output == CSV:
        _write_csv(chosen, None if session.no_headers else wanted)
        return
    for document in chosen:
        click.echo(_line(document))


def _document(item: "BaseModel | dict[str, Any]") -> dict[str, Any]:
    return item if isinstance(item, dict) else item.model_dump(mode="json")


def say_more(next_page: str | None) -> None:
    """Say how to go on, where a list has another page."""
    if next_page:
        say(f"there is more; go on with: --page {next_page}")


def _line(document: dict[str, Any]) -> str:
    return json_text(document, separators=(",", ":"))


def print_one(session: Session, document: dict[str, Any]) -> bool:
    """Print *document* where JSON lines or CSV were asked for, as a list of one; return whether they were."""
    if session.output == JSONL:
        click.echo(_line(document))
    elif session.output == CSV:
        _write_csv([document], list(document))
    return session.output in (JSONL, CSV)


def _write_csv(documents: Iterable[dict[str, Any]], header: Sequence[str] | None) -> None:
    """Write a line of names, also where nothing follows, and a line a document; lists and objects stand as JSON in their cell.

    A text that a spreadsheet would calculate gets an apostrophe before it, and none steers a terminal: it may be what a host
    wrote.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    for document in documents:
        writer.writerow(map(_cell, document.values()))


def _cell(value: Any) -> Any:
    return cell(clean_lines(value) if isinstance(value, str) else value)


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
