"""The figures of the history: how mirrors did day by day, how long updates take, and what mirrors are worth."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from fleet.cli.asking import Asking, instant, understood
from fleet.cli.console import Column, clean, print_answer, print_table, say
from fleet.cli.listing import Listing, bar, print_items, sparkline
from fleet.cli.session import TABLE, Session, pass_session
from fleet.cli.words import NOTHING, seconds, size

if TYPE_CHECKING:
    from fleet.api.questions import Compared, MirrorDay, MirrorDays, Phase, ServedHost


def _speed(day: "MirrorDay") -> int | None:
    """Return bytes by the second; None: there were none."""
    return day.bytes * 1000 // day.duration_ms if day.duration_ms and day.bytes else None


_DAYS = (
    Column("DAY"),
    Column("SOURCE"),
    Column("PULLS", right=True),
    Column("BYTES", right=True, by=attrgetter("bytes")),
    Column("SPEED", 1, right=True, by=_speed),
    Column("FAILED", right=True),
    Column("PASSED OVER", 3, right=True),
    Column("FALLBACKS", 2, right=True),
)
_SERVED = (Column("HOST"), Column("PULLS", right=True), Column("BYTES", right=True), Column("", 1))
_PHASES = (
    Column("PHASE"),
    Column("UPDATES", 1, right=True),
    Column("P50", right=True, by=attrgetter("p50_ms")),
    Column("P95", right=True, by=attrgetter("p95_ms")),
    Column("MOST", 1, right=True, by=attrgetter("most_ms")),
    Column("", 2),
)
_COMPARED = (
    Column("SERVED BY"),
    Column("PULLS", right=True),
    Column("BYTES", 1, right=True, by=attrgetter("bytes")),
    Column("P50", right=True, by=attrgetter("p50_ms")),
    Column("P95", right=True, by=attrgetter("p95_ms")),
    Column("SPEED", right=True, by=attrgetter("bytes_per_s")),
    Column("", 2),
)


@click.command("mirrors", cls=Listing)
@click.argument("mirror", required=False, default="")
@click.option("--since", metavar="TIME", default="14d", show_default=True, help="From the day of this time on.")
@click.option("--until", metavar="TIME", default="", help="Up to the day of this time; by default today.")
@pass_session
def mirrors(session: Session, mirror: str, since: str, until: str) -> None:
    """Show what each source (or MIRROR alone, a part of its endpoint) served day by day, and whom."""
    from fleet.api.questions import MirrorDay

    with session.client() as client:
        answer = client.mirror_days(mirror, instant(since), instant(until))
    if print_answer(session, answer):
        return
    print_items(session, _DAYS, answer.days, _day, "no source was asked in that time", fields=MirrorDay)
    if session.output == TABLE:
        for line in _trends(answer):
            click.echo(line)
        if answer.served:
            most = max(host.bytes for host in answer.served)
            click.echo(f"\nmost of its newest {answer.looked_at} pulls went to:")
            print_table(session, _SERVED, (_served(host, most) for host in answer.served), "")


class _Durations(Asking, Listing):
    """The list that takes a query, of things without a name."""


@click.command("durations", cls=_Durations)
@click.argument("query", nargs=-1)
@pass_session
def durations(session: Session, query: tuple[str, ...]) -> None:
    """Show how long updates take, phase by phase: half of them at most P50, 95 of 100 at most P95.

    QUERY chooses the updates, as in fleet history ls; the newest that fit are counted.
    """
    from fleet.api.questions import Phase

    with session.client() as client:
        answer = client.durations(understood(query) or "")
    if print_answer(session, answer):
        return
    most = max((phase.p95_ms for phase in answer.phases), default=0)
    print_items(session, _PHASES, answer.phases, lambda phase: _phase(phase, most), "no update fits", fields=Phase)
    if session.output == TABLE and answer.phases:
        say(f"over the newest {answer.looked_at} updates that fit")


@click.command("compared", cls=Listing)
@pass_session
def compared(session: Session) -> None:
    """Compare pulls that a mirror served with pulls that the origin served."""
    from fleet.api.questions import Compared

    with session.client() as client:
        answer = client.compared()
    if print_answer(session, answer):
        return
    most = max((row.bytes_per_s for row in answer.rows), default=0)
    none = "nothing was pulled yet"
    print_items(session, _COMPARED, answer.rows, lambda row: _row(row, most), none, fields=Compared)
    if session.output == TABLE and answer.rows:
        say(f"over the newest {answer.looked_at} pulls whose source is known")


def _day(day: "MirrorDay") -> Sequence[str]:
    return (
        day.day,
        day.mirror,
        str(day.pulls),
        size(day.bytes),
        f"{size(speed)}/s" if (speed := _speed(day)) else NOTHING,
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
