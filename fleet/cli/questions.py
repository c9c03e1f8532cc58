"""What the history answers beyond single outcomes: who runs what, what changed, what a container was before."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.asking import instant
from fleet.cli.console import Column, clean, print_answer, print_json, print_table, say
from fleet.cli.listing import Listing, NamedListing, print_items, say_more
from fleet.cli.session import CSV, JSONL, TABLE, Session, pass_session
from fleet.cli.words import (
    NOTHING,
    brief_digest,
    brief_moment,
    change,
    familiar,
    moment,
    place_of,
    short_digest,
    short_id,
)

if TYPE_CHECKING:
    from fleet.api.history import OutcomeRow
    from fleet.api.questions import Change, Runs

_RUNS = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("DIGEST", least=12, brief=brief_digest),
    Column("SINCE", 1, brief=brief_moment),
    Column("MIRROR", 1, least=12, brief=place_of),
    Column("STATE", 3),
    Column("BY", 3),
    Column("UPDATE", 4),
    Column("IMAGE", 2),
)
_CHANGES = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("DIGEST"),
    Column("IMAGE", 3),
    Column("UPDATES", 2, right=True),
    Column("FAILED", 1, right=True),
    Column("LAST", 2),
    Column("REASON", 1),
)
_CHAIN = (Column("WHEN"), Column("DIGEST"), Column("IMAGE", 2), Column("BY", 1), Column("ID", 3))


@click.command("who-runs", cls=NamedListing)
@click.argument("wanted", metavar="DIGEST|IMAGE")
@click.option("--matrix", is_flag=True, help="A line a host, a column a digest.")
@pass_session
def who_runs(session: Session, wanted: str, matrix: bool) -> None:
    """Show who runs a digest (12 digits will do) or an image now, since when, and which mirror brought it.

    With -q: host and container, as of fleet ps.
    """
    from fleet.api.questions import Runs

    with session.client() as client:
        found = (run for page in client.who_runs(wanted) for run in page.runs)
        if session.json:
            print_json({"schema": "v1", "runs": [run.model_dump(mode="json") for run in found], "next_page": None})
        elif matrix and session.output not in (JSONL, CSV) and not session.quiet:
            _print_matrix(session, list(found))
        else:
            none = f"no host runs {clean(wanted)}"
            print_items(session, _RUNS, found, _runs, none, fields=Runs, name=lambda r: f"{r.host} {r.container}")


@click.command("changes", cls=Listing)
@click.argument("host", shell_complete=completing.hosts)
@click.option(
    "--since",
    metavar="TIME",
    default="7d",
    show_default=True,
    help="2h (ago), yesterday, friday, 2026-11-25, RFC 3339.",
)
@click.option("--until", metavar="TIME", default="", help="Before then; by default until now.")
@pass_session
def changes(session: Session, host: str, since: str, until: str) -> None:
    """Show what changed on HOST (a name or a pattern) between two times, container by container."""
    from fleet.api.questions import Change

    with session.client() as client:
        answer = client.changes(host, instant(since), instant(until))
    if print_answer(session, answer):
        return
    none = f"nothing was updated on {clean(host)} in that time"
    print_items(session, _CHANGES, answer.changes, _change, none, fields=Change)
    if session.output == TABLE:
        for row in answer.changes:
            for line in row.config_diff:
                click.echo(f"{clean(row.host)}/{clean(row.container)}: {clean(line)}")
    if not answer.complete:
        say("there was more than is read at once; these are the newest")


@click.command("chain", cls=NamedListing)
@click.argument("host", shell_complete=completing.hosts)
@click.argument("container", shell_complete=completing.containers)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--page", metavar="CURSOR", default="", help="Go on where the page before ended.")
@pass_session
def chain(session: Session, host: str, container: str, limit: int, page: str) -> None:
    """Show what CONTAINER on HOST was brought to, newest first, and how to go back."""
    from fleet.api.history import OutcomeRow

    with session.client() as client:
        answer = client.chain(host, container, limit=limit, page=page)
    if print_answer(session, answer):
        return
    none = "Fleet never changed that container"
    print_items(session, _CHAIN, answer.outcomes, _link, none, fields=OutcomeRow, name=lambda o: o.id.hex)
    if session.output == TABLE and answer.outcomes and not session.quiet:
        _say_way_back(answer.outcomes[0])
    say_more(answer.next_page)


def _runs(run: "Runs") -> Sequence[str]:
    return (
        run.host,
        run.container,
        short_digest(run.digest),
        moment(run.since) if run.since else f"before {moment(run.first_seen_at)}",
        run.mirror or NOTHING,
        run.state,
        run.asked_by or NOTHING,
        short_id(run.update_id),
        familiar(run.image),
    )


def _print_matrix(session: Session, runs: "list[Runs]") -> None:
    digests = list(dict.fromkeys(run.digest for run in runs))
    by_host: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        by_host.setdefault(run.host, {}).setdefault(run.digest, []).append(run.container)
    columns = (Column("HOST"), *(Column(short_digest(digest)) for digest in digests))
    rows = [
        (host, *(", ".join(by_digest.get(digest, [])) or NOTHING for digest in digests))
        for host, by_digest in sorted(by_host.items())
    ]
    print_table(session, columns, rows, "no host runs it")


def _change(row: "Change") -> Sequence[str]:
    return (
        row.host,
        row.container,
        _moved(row),
        familiar(row.image),
        str(row.updates),
        str(row.failures),
        moment(row.last_at),
        row.reason or NOTHING,
    )


def _moved(row: "Change") -> str:
    if row.changed and row.before == row.after:
        return f"{short_digest(row.after).rpartition(':')[2]} again, after {row.changed} changes"
    return change(row.before, row.after) if row.changed else "unchanged"


def _link(row: "OutcomeRow") -> Sequence[str]:
    return (
        moment(row.recorded_at),
        change(row.old_digest, row.new_digest),
        familiar(row.image),
        row.asked_by,
        short_id(row.id),
    )


def _say_way_back(last: "OutcomeRow") -> None:
    from fleet.cli.main import COMMANDS

    if not last.old_digest:
        say("what ran before the last update is not known")
    elif "undo" in COMMANDS:
        say(f"to go back: {shlex.join(['fleet', 'undo', clean(last.host), clean(last.container)])}")
    else:
        name = familiar(last.image).rpartition(":")[0] or familiar(last.image)
        say(f"before the last update ran {name}@{last.old_digest}")
