"""``fleet rehearse``: what a rollout would come to, before there is one."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from fleet.cli.building import build
from fleet.cli.console import Column, clean, paint, print_answer, print_table, say, working
from fleet.cli.select import selecting
from fleet.cli.session import Leaf, Session, pass_session
from fleet.cli.spec import spec_text
from fleet.cli.words import NOTHING, Duration, length, moment
from fleet.errors import BadInput
from fleet.rollouts.naming import named

if TYPE_CHECKING:
    from fleet.api.rehearsals import Rehearsal
    from fleet.api.selectors import Selector

_WAVES = (
    Column("WAVE"),
    Column("STATE"),
    Column("HOSTS"),
    Column("OPENED", 1),
    Column("ENDED"),
    Column("REASON", 2),
)
_CAPS = (Column("CAP"), Column("LIMIT", right=True), Column("MOST AWAY", right=True), Column("", 1))


@click.command(cls=Leaf)
@click.argument("spec", required=False)
@selecting
@click.option("--bad-image", is_flag=True, help="The new version starts on no host.")
@click.option("--off", multiple=True, metavar="PATTERN", help="Hosts that are switched off.")
@click.option("--off-for", type=Duration(), help="For how long they are; without it they stay off.")
@click.option("--outage", type=Duration(), help="For how long no pull succeeds.")
@click.option("--slower", type=click.IntRange(1, 1000), default=1, help="How many times as long pulls take.")
@click.option("--slow-mirror", default="", metavar="TEXT", help="Only pulls of hosts that this mirror serves.")
@click.option("--centre-away", type=Duration(), help="For how long the centre decides nothing.")
@click.option("--after", type=Duration(), help="When the outage begins, or the centre goes away.")
@click.option("--approve-after", type=Duration(), help="How long a person takes to approve a wave; else nobody does.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Another seed draws another behaviour.")
@click.option("--events", is_flag=True, help="Also print every decision.")
@pass_session
def rehearse(
    session: Session,
    spec: str | None,
    selector: "Selector",
    bad_image: bool,
    off: tuple[str, ...],
    off_for: timedelta | None,
    outage: timedelta | None,
    slower: int,
    slow_mirror: str,
    centre_away: timedelta | None,
    after: timedelta | None,
    approve_after: timedelta | None,
    seed: int,
    events: bool,
) -> None:
    """Tell what a rollout with SPEC would come to, begun now; without SPEC, with the usual four waves.

    Hosts are simulated from their own history: how long their pulls and recreates took, how often they failed, when
    they were silent. Decisions are made as for a real rollout. Nothing is planned, and no host is asked anything.
    """
    from fleet.api.rehearsals import Rehearse

    _check(off_for and not off, "--off-for", "--off")
    _check(slow_mirror and slower == 1, "--slow-mirror", "--slower")
    _check(after and not outage and not centre_away, "--after", "--outage or --centre-away")
    request = build(
        Rehearse,
        selector=selector,
        **(spec_text(spec) if spec else {}),
        seed=seed,
        bad_image=bad_image,
        off=off,
        off_ms=_ms(off_for),
        outage_ms=_ms(outage) or 0,
        slower=slower,
        slow_mirror=slow_mirror,
        centre_away_ms=_ms(centre_away) or 0,
        after_ms=_ms(after) or 0,
        approve_after_ms=_ms(approve_after),
    )
    with session.client() as client, working(session, "rehearsing"):
        answer = client.rehearse(request)
    if print_answer(session, answer):
        return
    _show(session, answer)
    if events:
        for event in answer.events:
            click.echo(clean(f"{moment(event.at)}  {event.text}"))


def _check(alone: object, option: str, needed: str) -> None:
    """Raise BadInput where an option is given *alone* that does nothing without another."""
    if alone:
        raise BadInput(f"cannot use {option} alone: it says something of {needed}")


def _show(session: Session, answer: "Rehearsal") -> None:
    click.echo(f"{paint(session, answer.state.value, answer.state.words)}: {_end(answer)}")
    rows = [
        (
            str(wave.number + 1),
            wave.words,
            ", ".join(f"{n} {state.value}" for state, n in wave.counts.items() if n) or NOTHING,
            moment(wave.opened_at),
            moment(wave.ended_at),
            wave.reason or NOTHING,
        )
        for wave in answer.waves
    ]
    print_table(session, _WAVES, rows, "no waves")
    caps = [(cap.label, str(cap.limit), str(cap.most_away), _full(cap.most_away, cap.limit)) for cap in answer.caps]
    if caps:
        print_table(session, _CAPS, caps, "")
    bad = answer.bad_image
    click.echo(f"a bad image would reach {_hosts(bad.touched)}, and end {bad.state.words}{_held(bad.holds)}")
    click.echo(f"drawn from {answer.updates} updates of {answer.hosts} hosts, with seed {answer.seed}")
    if answer.unknown:
        say(clean(f"little is known of {_hosts(answer.unknown)}: they behave as any host of the fleet does"))
    for warning in answer.warnings:
        say(clean(f"warning: {warning}"))


def _end(answer: "Rehearsal") -> str:
    if answer.ended_at is None:
        return f"it would not end by itself{_held(answer.holds)}"
    return f"it would end at {moment(answer.ended_at)}, after {length(answer.ended_at - answer.begin)}"


def _held(holds: "tuple[object, ...]") -> str:
    words = ", ".join(getattr(hold, "words", str(hold)) for hold in holds)
    return f", held: {words}" if words else ""


def _hosts(names: tuple[str, ...]) -> str:
    return f"{len(names)} host{'s'[: len(names) != 1]}" + (f" ({named(names)})" if names else "")


def _full(most: int, limit: int) -> str:
    return "broken: hosts failed by themselves" if most > limit else "full" if most == limit else ""


def _ms(length: timedelta | None) -> int | None:
    return None if length is None else round(length.total_seconds() * 1000)
