"""What the history answers beyond single outcomes: who runs what, what changed, how mirrors did, how long it takes."""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from fleet.cli.asking import Asking, understood
from fleet.cli.console import Column, clean, print_answer, print_json, print_table, say
from fleet.cli.listing import Listing, bar, print_items, sparkline
from fleet.cli.session import CSV, JSONL, TABLE, Session, pass_session
from fleet.cli.words import NOTHING, change, familiar, moment, seconds, short_digest, short_id, size

if TYPE_CHECKING:
    from fleet.api.history import OutcomeRow
    from fleet.api.questions import Change, Compared, MirrorDay, MirrorDays, Phase, Runs, ServedHost

_RUNS = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("DIGEST"),
    Column("SINCE", 1),
    Column("MIRROR", 1),
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
_DAYS = (
    Column("DAY"),
    Column("SOURCE"),
    Column("PULLS", right=True),
    Column("BYTES", right=True),
    Column("SPEED", 1, right=True),
    Column("FAILED", right=True),
    Column("PASSED OVER", 3, right=True),
    Column("FALLBACKS", 2, right=True),
)
_SERVED = (Column("HOST"), Column("PULLS", right=True), Column("BYTES", right=True), Column("", 1))
_PHASES = (
    Column("PHASE"),
    Column("UPDATES", 1, right=True),
    Column("P50", right=True),
    Column("P95", right=True),
    Column("MOST", 1, right=True),
    Column("", 2),
)
_COMPARED = (
    Column("SERVED BY"),
    Column("PULLS", right=True),
    Column("BYTES", 1, right=True),
    Column("P50", right=True),
    Column("P95", right=True),
    Column("SPEED", right=True),
    Column("", 2),
)


@click.command("who-runs", cls=Listing)
@click.argument("wanted", metavar="DIGEST|IMAGE")
@click.option("--matrix", is_flag=True, help="A line a host, a column a digest.")
@pass_session
def who_runs(session: Session, wanted: str, matrix: bool) -> None:
    """Show who runs a digest (12 digits will do) or an image now, since when, and which mirror brought it."""
    with session.client() as client:
        found = (run for page in client.who_runs(wanted) for run in page.runs)
        if session.json:
            print_json({"schema": "v1", "runs": [run.model_dump(mode="json") for run in found], "next_page": None})
        elif matrix and session.output not in (JSONL, CSV):
            _print_matrix(session, list(found))
        else:
            print_items(session, _RUNS, found, _runs, f"no host runs {clean(wanted)}")


@click.command("changes", cls=Listing)
@click.argument("host")
@click.option(
    "--since", metavar="TIME", default="7d", show_default=True, help="2h (ago), yesterday, 2026-11-25, RFC 3339."
)
@click.option("--until", metavar="TIME", default="", help="Before then; by default until now.")
@pass_session
def changes(session: Session, host: str, since: str, until: str) -> None:
    """Show what changed on HOST (a name or a pattern) between two times, container by container."""
    with session.client() as client:
        answer = client.changes(host, _instant(since), _instant(until))
    if print_answer(session, answer):
        return
    print_items(session, _CHANGES, answer.changes, _change, f"nothing was updated on {clean(host)} in that time")
    if session.output == TABLE:
        for row in answer.changes:
            for line in row.config_diff:
                click.echo(f"{clean(row.host)}/{clean(row.container)}: {clean(line)}")
    if not answer.complete:
        say("there was more than is read at once; these are the newest")


@click.command("chain", cls=Listing)
@click.argument("host")
@click.argument("container")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--page", metavar="CURSOR", default="", help="Go on where the page before ended.")
@pass_session
def chain(session: Session, host: str, container: str, limit: int, page: str) -> None:
    """Show what CONTAINER on HOST was brought to, newest first, and how to go back."""
    with session.client() as client:
        answer = client.chain(host, container, limit=limit, page=page)
    if print_answer(session, answer):
        return
    print_items(session, _CHAIN, answer.outcomes, _link, "Fleet never changed that container")
    if session.output == TABLE and answer.outcomes:
        _say_way_back(answer.outcomes[0])
    if answer.next_page:
        say(f"there is more; go on with: --page {answer.next_page}")


@click.command("mirrors", cls=Listing)
@click.argument("mirror", required=False, default="")
@click.option("--since", metavar="TIME", default="14d", show_default=True, help="From the day of this time on.")
@click.option("--until", metavar="TIME", default="", help="Up to the day of this time; by default today.")
@pass_session
def mirrors(session: Session, mirror: str, since: str, until: str) -> None:
    """Show what each source (or MIRROR alone, a part of its endpoint) served day by day, and whom."""
    with session.client() as client:
        answer = client.mirror_days(mirror, _instant(since), _instant(until))
    if print_answer(session, answer):
        return
    print_items(session, _DAYS, answer.days, _day, "no source was asked in that time")
    if session.output == TABLE:
        for line in _trends(answer):
            click.echo(line)
        if answer.served:
            most = max(host.bytes for host in answer.served)
            click.echo(f"\nmost of its newest {answer.looked_at} pulls went to:")
            print_table(session, _SERVED, (_served(host, most) for host in answer.served), "")


@click.command("durations", cls=Asking)
@click.argument("query", nargs=-1)
@pass_session
def durations(session: Session, query: tuple[str, ...]) -> None:
    """Show how long updates take, phase by phase: half of them at most P50, 95 of 100 at most P95.

    QUERY chooses the updates, as in fleet history ls; the newest that fit are counted.
    """
    with session.client() as client:
        answer = client.durations(understood(query) or "")
    if print_answer(session, answer):
        return
    most = max((phase.p95_ms for phase in answer.phases), default=0)
    print_items(session, _PHASES, answer.phases, lambda phase: _phase(phase, most), "no update fits")
    if session.output == TABLE and answer.phases:
        say(f"over the newest {answer.looked_at} updates that fit")


@click.command("compared", cls=Listing)
@pass_session
def compared(session: Session) -> None:
    """Compare pulls that a mirror served with pulls that the origin served."""
    with session.client() as client:
        answer = client.compared()
    if print_answer(session, answer):
        return
    most = max((row.bytes_per_s for row in answer.rows), default=0)
    print_items(session, _COMPARED, answer.rows, lambda row: _row(row, most), "nothing was pulled yet")
    if session.output == TABLE and answer.rows:
        say(f"over the newest {answer.looked_at} pulls whose source is known")


def _instant(text: str) -> str:
    """Return a time as the server shall read it: local ones as instants."""
    query = understood((f"since:{text}",)) if text else None
    return query.removeprefix("since:") if query else ""


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
        change(row.before, row.after) if row.changed else "unchanged",
        familiar(row.image),
        str(row.updates),
        str(row.failures),
        moment(row.last_at),
        row.reason or NOTHING,
    )


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


def _day(day: "MirrorDay") -> Sequence[str]:
    return (
        day.day,
        day.mirror,
        str(day.pulls),
        size(day.bytes),
        f"{size(day.bytes * 1000 // day.duration_ms)}/s" if day.duration_ms and day.bytes else NOTHING,
        str(day.failures),
        str(day.passed_over),
        str(day.fallbacks),
    )


def _trends(answer: "MirrorDays") -> Iterator[str]:
    """Yield a line a source: its bytes by day as a picture, on a terminal that can show it."""
    days = sorted({day.day for day in answer.days})
    by_mirror: dict[str, dict[str, int]] = {}
    for day in answer.days:
        by_mirror.setdefault(day.mirror, {})[day.day] = day.bytes
    for mirror, amounts in sorted(by_mirror.items()):
        picture = sparkline([amounts.get(day, 0) for day in days])
        if picture and len(days) > 1:
            yield f"{picture}  {size(sum(amounts.values()))} of {clean(mirror)}"


def _served(host: "ServedHost", most: int) -> Sequence[str]:
    return host.host, str(host.pulls), size(host.bytes), bar(host.bytes, most)


def _phase(phase: "Phase", most: int) -> Sequence[str]:
    return (
        phase.phase,
        str(phase.updates),
        seconds(phase.p50_ms),
        seconds(phase.p95_ms),
        seconds(phase.most_ms),
        bar(phase.p95_ms, most),
    )


def _row(row: "Compared", most: int) -> Sequence[str]:
    return (
        row.role.value,
        str(row.pulls),
        size(row.bytes),
        seconds(row.p50_ms),
        seconds(row.p95_ms),
        f"{size(row.bytes_per_s)}/s",
        bar(row.bytes_per_s, most),
    )
