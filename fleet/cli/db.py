"""``fleet db``: the database of this machine's centre: its shape, its copies, what is kept, and what was refused."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from fleet.cli.console import Column, clean, paint, print_json, say
from fleet.cli.listing import Listing, NamedListing, print_items
from fleet.cli.session import TABLE, Branch, Session, pass_session
from fleet.cli.sure import unasked
from fleet.cli.words import Duration, moment, short_id, size
from fleet.errors import FleetError, NotFound, Refused

if TYPE_CHECKING:
    from datetime import timedelta

    from fleet.history.inbox.garbage import GarbageRow
    from fleet.history.sql.database import Database

_STATS = (Column("TABLE"), Column("ROWS", right=True), Column("BYTES", right=True, by=itemgetter("bytes")))
_CHECKS = (Column("RESULT"), Column("CHECK"), Column("WHAT"))
_GARBAGE = (
    Column("ID"),
    Column("WHEN"),
    Column("HOST"),
    Column("SIZE", 1, right=True, by=itemgetter("size_bytes")),
    Column("REASON"),
)

_FIELDS = ("id", "host", "reason", "raw", "size_bytes", "received_at")
"""What is said of a message that was refused."""


@click.group(cls=Branch)
def db() -> None:
    """Look after the database: its shape, backups, what is kept. Reads the centre's settings (FLEET_DATABASE_URL)."""


@db.command("upgrade")
@pass_session
def upgrade(session: Session) -> None:
    """Bring the database to the shape of this program; safe to run twice, and at once."""
    from fleet.history.upkeep import upgrade as shape
    from fleet.settings.centre import CentreSettings

    settings = CentreSettings.read()
    settings.prepare_state()
    shape.upgrade(settings.database_url)
    _done(session, "the database has the shape of this program")


@db.command("current")
@pass_session
def current(session: Session) -> None:
    """Say whether the database has the shape of this program; exit 6 where it has not."""
    from fleet.history.upkeep.upgrade import require_head

    with _opened() as database:
        require_head(database)
    if session.json:
        print_json({"schema": "v1", "current": True})
    else:
        click.echo("the database has the shape of this program")


@db.command("check", cls=Listing)
@pass_session
def check(session: Session) -> None:
    """Look whether the database is whole; exit 1 where it is not. Reads all of an SQLite file."""
    from fleet.history.upkeep import stats as looking

    with _opened() as database:
        found = looking.check(database)
    checks = [{"name": c.name, "ok": c.ok, "text": c.text} for c in found]
    if session.json:
        print_json({"schema": "v1", "checks": checks})
    else:
        print_items(session, _CHECKS, checks, _check, "", fields=("name", "ok", "text"))
    if not all(c.ok for c in found):
        raise FleetError(
            "cannot vouch for the database: see what failed above; a backup is restored by: fleet db restore"
        )


@db.command("stats", cls=Listing)
@pass_session
def stats(session: Session) -> None:
    """Show rows and bytes by table; on PostgreSQL the rows are the server's estimate."""
    from fleet.history.upkeep import stats as looking
    from fleet.history.upkeep.upgrade import require_head

    with _opened() as database:
        require_head(database)
        found, whole = looking.stats(database), looking.whole_bytes(database)
    tables = [{"table": t.table, "rows": t.rows, "bytes": t.bytes} for t in found]
    if session.json:
        print_json({"schema": "v1", "tables": tables, "bytes": whole})
        return
    filled = [table for table in tables if table["rows"]]
    none = "every table is empty"
    print_items(session, _STATS, filled, _table, none, fields=("table", "rows", "bytes"))
    if session.output == TABLE:
        click.echo(f"all: {size(whole)}")


@db.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@pass_session
def backup(session: Session, file: Path) -> None:
    """Write a copy of the database to the new FILE, while it is used; on PostgreSQL by pg_dump.

    The signing key and passwords of the centre are not in it: copy the state directory too.
    """
    from fleet.history.upkeep.backup import back_up

    with _opened() as database:
        written = back_up(database, file)
        _record(database, "db backup", str(file), bytes=written)
    _done(session, f"{size(written)} written to {file}")


@db.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@pass_session
def restore(session: Session, file: Path) -> None:
    """Fill the empty database with the backup FILE; one that is not empty is refused."""
    from fleet.history.upkeep.backup import restore as bring_back
    from fleet.history.upkeep.upgrade import require_head
    from fleet.settings.centre import CentreSettings

    CentreSettings.read().prepare_state()
    with _opened(new=True) as database:
        bring_back(database, file)
        try:
            require_head(database)
        except Refused:
            say("the backup is of an earlier version; bring it up to date with: fleet db upgrade")
        else:
            _record(database, "db restore", str(file))
    _done(session, f"restored from {file}")


@db.command("prune")
@click.option(
    "--keep",
    type=Duration(),
    help="Also give up updates, pulls and commands asked longer ago, such as 730d; by default they are kept for ever.",
)
@unasked
@pass_session
def prune(session: Session, keep: "timedelta | None", yes: bool) -> None:
    """Delete what is not kept for ever, as the planner does each day. The audit always stays."""
    from fleet.history.upkeep import retention

    if keep is not None and not yes:
        if not session.may_ask():
            raise Refused("cannot give up facts unasked; add --yes")
        click.confirm(f"Give up all that was asked more than {keep.days} days ago?", abort=True, err=True)
    with _opened() as database:
        gone = retention.prune(database)
        if keep is not None:
            for table, count in retention.prune_facts(database, keep).items():
                gone[table] = gone.get(table, 0) + count
            _record(database, "db prune", f"{keep.days}d", **gone)
    if session.json:
        print_json({"schema": "v1", "gone": gone})
    else:
        told = ", ".join(f"{count} of {table}" for table, count in gone.items())
        click.echo(f"gone: {told}" if told else "nothing was too old")


@db.command("garbage", cls=NamedListing)
@click.argument("id", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@pass_session
def garbage(session: Session, id: str | None, limit: int) -> None:
    """List the messages of hosts that were refused, or show the first bytes of one; they are kept for 30 days."""
    from fleet.history.inbox import garbage as refused
    from fleet.history.sql.pages import PageRequest

    with _opened() as database:
        if id is not None:
            _show_garbage(session, refused.one_garbage(database, id))
            return
        found = refused.garbage(database, PageRequest(limit=limit)).items
    documents = [_garbage_document(row) for row in found]
    if session.json:
        print_json({"schema": "v1", "refused": documents})
        return
    print_items(
        session, _GARBAGE, documents, _garbage_cells, "nothing was refused", fields=_FIELDS, name=itemgetter("id")
    )


def _check(check: dict[str, Any]) -> tuple[str, ...]:
    return "PASS" if check["ok"] else "FAIL", check["name"], check["text"]


def _table(table: dict[str, Any]) -> tuple[str, ...]:
    return table["table"], str(table["rows"]), size(table["bytes"])


def _garbage_cells(g: dict[str, Any]) -> tuple[str, ...]:
    received = moment(datetime.fromisoformat(g["received_at"]))
    return short_id(UUID(g["id"])), received, g["host"] or "not proved", size(g["size_bytes"]), g["reason"]


def _show_garbage(session: Session, row: "GarbageRow") -> None:
    if session.json:
        print_json({"schema": "v1", "refused": [_garbage_document(row)]})
        return
    click.echo(
        f"{short_id(row.id)}, {moment(row.received_at)}, from {clean(row.host) or 'a sender that proved nothing'}"
    )
    click.echo(f"{paint(session, 'failed', 'refused')}: {clean(row.reason)}")
    shown = clean(row.raw.decode(errors="replace"))
    click.echo(f"{len(row.raw)} of {row.size_bytes} bytes:\n{shown}")


def _garbage_document(row: "GarbageRow") -> dict[str, Any]:
    return {
        "id": str(row.id),
        "host": row.host or None,
        "reason": row.reason,
        "raw": row.raw.decode(errors="replace"),
        "size_bytes": row.size_bytes,
        "received_at": row.received_at.isoformat(),
    }


@contextmanager
def _opened(*, new: bool = False) -> "Iterator[Database]":
    """Open the centre's database; raises NotFound where its file is not there, but for one that may be *new*."""
    from fleet.history.sql.database import Database
    from fleet.settings.centre import CentreSettings

    database = Database.open(CentreSettings.read().database_url)
    if database.file is not None and not new and not database.file.exists():
        # SQLite itself would make an empty one, for everyone to read.
        raise NotFound(
            f"cannot find the database {database.file}; name another (FLEET_DATABASE_URL), or make it: fleet db upgrade"
        )
    try:
        yield database
    finally:
        database.close()


def _record(database: "Database", action: str, subject: str, **details: Any) -> None:
    from fleet.history.noted import audit

    who = f"person:{getpass.getuser()}"
    audit.record(database, by=who, door="command line", action=action, subject=subject, details=details)


def _done(session: Session, text: str) -> None:
    if session.json:
        print_json({"schema": "v1", "done": True})
    else:
        click.echo(text)
