"""One rollout as text: what it brings, what holds it and what to answer, its waves, and where each host stands."""

from typing import TYPE_CHECKING

import click

from fleet.cli.console import Column, clean, paint, print_table, say
from fleet.cli.session import Session
from fleet.cli.tree import amount, doing, refusals
from fleet.cli.words import NOTHING, change, familiar, moment

if TYPE_CHECKING:
    from fleet.api.rollouts import RolloutAnswer, RolloutImage, Wave

_HOSTS = (
    Column("HOST"),
    Column("STATE"),
    Column("CONTAINERS", 1),
    Column("BYTES", 3),
    Column("MIRROR", 2),
    Column("REASON", 1, wraps=True),
)
_BYTES = slice(3, 5)
"""Those that tell of bytes on their way; afterwards the history has them."""


def show_rollout(session: Session, answer: "RolloutAnswer") -> None:
    """Print it."""
    r = answer.rollout
    click.echo(f"#{r.number}  {paint(session, r.state.value, r.state.words)}  by {clean(r.asked_by)}")
    click.echo(f"begun {moment(r.created_at)}, ended {moment(r.ended_at)}")
    if answer.undoes is not None:
        click.echo(f"the way back of rollout #{answer.undoes}")
    if answer.undone_by:
        click.echo(f"undone by rollout {', '.join(f'#{number}' for number in answer.undone_by)}")
    for image in answer.images:
        click.echo(clean(f"brings: {_brought(image)}"))
    for hold in r.holds:
        click.echo("; ".join(filter(None, (f"held: {hold.words}", hold.answer(r.number)))))
    if r.reason:
        click.echo(f"reason: {clean(r.reason)}")
    for wave in answer.waves:
        click.echo(f"wave {wave.number + 1}: {_painted(session, wave)}  {_about(wave)}")
    if answer.frozen:
        click.echo(clean(answer.frozen))
    if answer.window:
        click.echo(clean(answer.window))
    for warning in (*answer.warnings, *refusals(answer)):
        say(clean(f"warning: {warning}"))
    rows: list[tuple[str, ...]] = [
        (
            h.host,
            doing(h),
            ", ".join(h.containers) or NOTHING,
            amount(h) or NOTHING,
            h.mirror or NOTHING,
            h.reason or NOTHING,
        )
        for h in answer.hosts
    ]
    columns = list(_HOSTS)
    if r.ended_at is not None:
        del columns[_BYTES]
        rows = [(*row[: _BYTES.start], *row[_BYTES.stop :]) for row in rows]
    print_table(session, columns, rows, "no hosts")
    if r.ended_at is not None:
        say(f"what came of each container, through which mirror: fleet history ls rollout:{r.number}")


def _brought(image: "RolloutImage") -> str:
    """Return one image with what it replaces: ``nginx:1 9f1c2d3e4f5a -> 41aa... to 4 containers``."""
    before, *more = image.old_digests or ("",)
    others = f" (and from {len(more)} more)" if more else ""
    count = f"{image.containers} container{'s'[: image.containers != 1]}"
    return f"{familiar(image.image)}  {change(before, image.digest)}{others}  to {count}"


def _painted(session: Session, wave: "Wave") -> str:
    return paint(session, wave.state.value if wave.opened_at else "", wave.words)


def _about(wave: "Wave") -> str:
    counts = ", ".join(f"{n} {state.value}" for state, n in wave.counts.items() if n) or "no hosts"
    soaks = f"; soaks since {moment(wave.soak_since)}" if wave.state.value == "soaking" else ""
    by = f"; by {wave.decided_by or wave.approved_by}" if wave.decided_by or wave.approved_by else ""
    return clean(f"{counts}{soaks}{by}{f': {wave.reason}' if wave.reason else ''}")
