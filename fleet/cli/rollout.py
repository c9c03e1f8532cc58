"""``fleet rollout``: orders to the fleet, and how far they are."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from fleet.cli.building import build
from fleet.cli.console import Column, clean, paint, print_answer, print_table, working
from fleet.cli.plan import ASKING, PLANNING, carry_out
from fleet.cli.screen import amount, doing
from fleet.cli.select import selecting
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.spec import read_spec
from fleet.cli.waiting import follow, waiting
from fleet.cli.words import NOTHING, Duration, moment, short_id

if TYPE_CHECKING:
    from fleet.api.rollouts import RolloutAnswer, StopRollout
    from fleet.api.selectors import Selector

_COLUMNS = (
    Column("NR", right=True),
    Column("ID"),
    Column("STATE"),
    Column("HOSTS", 1),
    Column("BY", 2),
    Column("BEGUN", 1),
    Column("ENDED", 3),
)
_HOSTS = (
    Column("HOST"),
    Column("STATE"),
    Column("CONTAINERS", 1),
    Column("BYTES", 3),
    Column("MIRROR", 2),
    Column("REASON", 1),
)


@click.group(cls=Branch)
def rollout() -> None:
    """Look at rollouts, pause and stop them."""


@rollout.command("start")
@selecting
@click.option("--spec", type=click.Path(), help="A file with its waves and limits, TOML or JSON; - for stdin.")
@click.option("--check/--no-check", default=True, help="Ask the registries first (default), or take the last check.")
@click.option("--reason", default="", help="Why, for the others.")
@waiting
@click.pass_context
def start(
    ctx: click.Context,
    selector: "Selector",
    spec: str | None,
    check: bool,
    reason: str,
    detach: bool,
    timeout: timedelta | None,
) -> None:
    """Plan, and carry the plan out in waves; exit 3 where some hosts failed, 6 where it waits for a person."""
    from fleet.api.plans import ApplyPlan, MakePlan, Ordered

    session = ctx.ensure_object(Session)
    told = build(ApplyPlan, spec=read_spec(spec) if spec else None, reason=reason)
    with session.client() as client:
        request = build(MakePlan, selector=selector, check=check)
        with working(session, ASKING if check else PLANNING):
            plan = client.make_plan(request).plan
        if not plan.changes:
            ctx.exit(carry_out(session, client, Ordered(plan=plan), detach, timeout))
        ctx.exit(carry_out(session, client, client.apply_plan(plan.id.hex, told), detach, timeout))


@rollout.command("ls")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@pass_session
def ls(session: Session, limit: int) -> None:
    """List rollouts, newest first."""
    with session.client() as client:
        answer = client.rollouts(limit=limit)
    if print_answer(session, answer):
        return
    rows = [
        (
            f"#{r.number}",
            short_id(r.id),
            r.state.value,
            " ".join(f"{n} {state.value}" for state, n in r.counts.items() if n) or NOTHING,
            r.asked_by,
            moment(r.created_at),
            moment(r.ended_at),
        )
        for r in answer.rollouts
    ]
    print_table(session, _COLUMNS, rows, "no rollouts yet; make one with: fleet plan")


@rollout.command("show")
@click.argument("id")
@pass_session
def show(session: Session, id: str) -> None:
    """Show where each host stands in rollout ID."""
    with session.client() as client:
        answer = client.rollout(id)
    if print_answer(session, answer):
        return
    r = answer.rollout
    click.echo(f"#{r.number} {short_id(r.id)}  {paint(session, r.state.value)}  by {clean(r.asked_by)}")
    click.echo(f"begun {moment(r.created_at)}, ended {moment(r.ended_at)}")
    for hold in r.holds:
        click.echo(f"held: {hold.value}")
    if r.reason:
        click.echo(f"reason: {clean(r.reason)}")
    for wave in answer.waves:
        counts = ", ".join(f"{n} {state.value}" for state, n in wave.counts.items() if n)
        click.echo(f"wave {wave.number + 1}: {paint(session, wave.state.value)}  {counts}")
    rows = [
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
    print_table(session, _HOSTS, rows, "no hosts")


@rollout.command("watch")
@click.argument("id")
@click.option("--timeout", type=Duration(), help="Stop waiting after this time, such as 30m.")
@click.pass_context
def watch(ctx: click.Context, id: str, timeout: timedelta | None) -> None:
    """Follow rollout ID to its end; exit 3 where some hosts failed. Ctrl-C ends the watch, not the rollout."""
    session = ctx.ensure_object(Session)
    with session.client() as client:
        found = client.rollout(id).rollout
        ctx.exit(follow(session, client, found.id.hex, timeout))


@rollout.command("pause")
@click.argument("id")
@click.option("--reason", default="", help="Why, for the others.")
@pass_session
def pause(session: Session, id: str, reason: str) -> None:
    """Send nothing new for rollout ID until it is resumed."""
    with session.client() as client:
        _told(session, client.pause_rollout(id, _stop(reason)))


@rollout.command("resume")
@click.argument("id")
@pass_session
def resume(session: Session, id: str) -> None:
    """Let a paused rollout go on."""
    with session.client() as client:
        _told(session, client.resume_rollout(id))


@rollout.command("abort")
@click.argument("id")
@click.option("--reason", default="", help="Why, for the others.")
@pass_session
def abort(session: Session, id: str, reason: str) -> None:
    """Send nothing new for rollout ID; what is being recreated may end."""
    with session.client() as client:
        _told(session, client.abort_rollout(id, _stop(reason)))


def _stop(reason: str) -> "StopRollout":
    from fleet.api.rollouts import StopRollout

    return build(StopRollout, reason=reason)


def _told(session: Session, answer: "RolloutAnswer") -> None:
    if print_answer(session, answer):
        return
    held = ", held" if answer.rollout.holds else ""
    click.echo(f"rollout {short_id(answer.rollout.id)} {answer.rollout.state.value}{held}")
