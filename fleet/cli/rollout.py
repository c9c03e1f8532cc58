"""``fleet rollout``: orders to the fleet, and how far they are."""

from collections.abc import Callable
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, print_answer, working
from fleet.cli.listing import NamedListing, print_items, say_more
from fleet.cli.plan import ASKING, PLANNING, carry_out
from fleet.cli.rollout_shown import show_rollout
from fleet.cli.select import selecting
from fleet.cli.session import Branch, Leaf, Session, pass_session, trying
from fleet.cli.spec import speccing
from fleet.cli.waiting import follow, follow_back, waiting
from fleet.cli.words import NOTHING, Duration, brief_moment, moment, numbered, short_id

if TYPE_CHECKING:
    from fleet.api.rollouts import AnswerWave, Rollout, RolloutAnswer, StopRollout
    from fleet.api.selectors import Selector

_COLUMNS = (
    Column("ROLLOUT", right=True, by=attrgetter("number")),
    Column("ID", 4),
    Column("STATE"),
    Column("HOSTS", 1),
    Column("BY", 2),
    Column("BEGUN", 1, brief=brief_moment),
    Column("ENDED", 3, brief=brief_moment),
    Column("REASON", 2),
)


@click.group(cls=Branch)
def rollout() -> None:
    """Begin rollouts, look at them, answer them, pause, stop and undo them."""


@rollout.command("start")
@selecting
@speccing
@click.option("--check/--no-check", default=True, help="Ask the registries first (default), or take the last check.")
@click.option("-m", "--reason", default="", help="Why, for the others.")
@waiting
@trying
@click.pass_context
def start(
    ctx: click.Context,
    selector: "Selector",
    spec: dict[str, str],
    check: bool,
    reason: str,
    detach: bool,
    timeout: timedelta | None,
) -> None:
    """Plan, and carry the plan out in waves: one host, a tenth, a half, the rest, unless a spec says otherwise.

    Exit 3 where some hosts failed, 6 where it waits for a person.
    """
    from fleet.api.plans import ApplyPlan, MakePlan, Ordered

    session = ctx.ensure_object(Session)
    told = build(ApplyPlan, **(spec or {"spec_text": ""}), reason=reason)
    with session.client() as client, session.client(in_earnest=True) as planning:
        request = build(MakePlan, selector=selector, check=check, configuration=False)
        with working(session, ASKING if check else PLANNING):
            plan = planning.make_plan(request).plan
        if not plan.changes:
            ctx.exit(carry_out(session, client, Ordered(plan=plan), detach, timeout))
        ctx.exit(carry_out(session, client, client.apply_plan(plan.id.hex, told), detach, timeout))


@rollout.command("ls", cls=NamedListing)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--page", metavar="CURSOR", default="", help="Go on where the page before ended.")
@pass_session
def ls(session: Session, limit: int, page: str) -> None:
    """List rollouts, newest first."""
    from fleet.api.rollouts import Rollout

    with session.client() as client:
        answer = client.rollouts(limit=limit, page=page)
    if print_answer(session, answer):
        return
    none = "no rollouts yet; make one with: fleet plan"
    print_items(session, _COLUMNS, answer.rollouts, _cells, none, fields=Rollout, name=lambda r: str(r.number))
    say_more(answer.next_page)


def _cells(r: "Rollout") -> tuple[str, ...]:
    return (
        f"#{r.number}",
        short_id(r.id),
        _standing(r),
        ", ".join(f"{n} {state.value}" for state, n in r.counts.items() if n) or NOTHING,
        r.asked_by,
        moment(r.created_at),
        moment(r.ended_at),
        r.reason or NOTHING,
    )


def _standing(r: "Rollout") -> str:
    """Return its state, and what holds it: one that waits for a person does not look as if it ran."""
    return ", ".join((r.state.words, *(f"held: {hold.value}" for hold in r.holds)))


@rollout.command("show")
@click.argument("id", shell_complete=completing.rollouts)
@pass_session
def show(session: Session, id: str) -> None:
    """Show where each host stands in rollout ID."""
    with session.client() as client:
        answer = client.rollout(id)
    if print_answer(session, answer):
        return
    show_rollout(session, answer)


@rollout.command("watch")
@click.argument("id", shell_complete=completing.rollouts)
@click.option("--timeout", type=Duration(), help="Stop waiting after this time, such as 30m.")
@click.pass_context
def watch(ctx: click.Context, id: str, timeout: timedelta | None) -> None:
    """Follow rollout ID to its end; exit 3 where some hosts failed. Ctrl-C ends the watch, not the rollout."""
    session = ctx.ensure_object(Session)
    with session.client() as client:
        found = client.rollout(id).rollout
        ctx.exit(follow(session, client, found.id.hex, timeout))


@rollout.command("pause")
@click.argument("id", shell_complete=completing.rollouts)
@click.option("-m", "--reason", default="", help="Why, for the others.")
@trying
@pass_session
def pause(session: Session, id: str, reason: str) -> None:
    """Send nothing new for rollout ID until it is resumed."""
    with session.client() as client:
        _told(session, client.pause_rollout(id, _stop(reason)))


@rollout.command("resume")
@click.argument("id", shell_complete=completing.rollouts)
@click.option(
    "--hold",
    type=click.Choice(["user", "budget", "mirror_outage", "engine_error"]),
    default="user",
    show_default=True,
    help="Which hold to take away; the others stay.",
)
@click.option("-m", "--reason", default="", help="Why, for the others.")
@trying
@pass_session
def resume(session: Session, id: str, hold: str, reason: str) -> None:
    """Let a paused rollout go on."""
    from fleet.api.rollouts import ResumeRollout

    with session.client() as client:
        _told(session, client.resume_rollout(id, build(ResumeRollout, hold=hold, reason=reason)))


def _answering(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the rollout's id, and the options that say which wave and why."""
    command = click.option("-m", "--reason", default="", help="Why, for the others.")(command)
    command = click.option("--wave", type=click.IntRange(1, 100), help="Which one, from 1; else the one it is about.")(
        command
    )
    return click.argument("id", shell_complete=completing.rollouts)(command)


@rollout.command("promote")
@_answering
@trying
@pass_session
def promote(session: Session, id: str, wave: int | None, reason: str) -> None:
    """Approve the next wave of rollout ID that waits for it."""
    with session.client() as client:
        _told(session, client.approve_wave(id, _answer(wave, reason)))


@click.command("approve", cls=Leaf)
@_answering
@trying
@pass_session
def approve(session: Session, id: str, wave: int | None, reason: str) -> None:
    """Approve the next wave of rollout ID that waits for it."""
    with session.client() as client:
        _told(session, client.approve_wave(id, _answer(wave, reason)))


@rollout.command("waive")
@_answering
@trying
@pass_session
def waive(session: Session, id: str, wave: int | None, reason: str) -> None:
    """Let rollout ID go on although a wave failed, or never came to an end; who and why is kept."""
    with session.client() as client:
        _told(session, client.waive_wave(id, _answer(wave, reason)))


@rollout.command("retry")
@_answering
@trying
@pass_session
def retry(session: Session, id: str, wave: int | None, reason: str) -> None:
    """Try the failed hosts of a wave of rollout ID again."""
    with session.client() as client:
        _told(session, client.retry_wave(id, _answer(wave, reason)))


@rollout.command("undo")
@click.argument("id", shell_complete=completing.rollouts)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="PATTERN",
    shell_complete=completing.hosts,
    help="Only on these of its hosts; none: on all. The rollout must have ended.",
)
@click.option("-m", "--reason", default="", help="Why, for the others.")
@waiting
@trying
@click.pass_context
def undo(
    ctx: click.Context, id: str, hosts: tuple[str, ...], reason: str, detach: bool, timeout: timedelta | None
) -> None:
    """Bring what rollout ID updated back to what ran before, by a rollout of its own; one that runs is stopped first."""
    from fleet.api.rollouts import UndoRollout

    session = ctx.ensure_object(Session)
    chosen = {"hosts": hosts} if hosts else {}
    with session.client() as client:
        answer = client.undo_rollout(id, build(UndoRollout, reason=reason, **chosen))
        if detach or session.dry_run:
            if not print_answer(session, answer):
                back = answer.rollout_id
                made = f"rollout {numbered(answer.rollout, back)}" if back else "made once nothing is live any more"
                click.echo(f"the way back is {made}; see: fleet rollout ls")
            return
        ctx.exit(follow_back(session, client, id, answer.rollout_id, timeout))


@rollout.command("abort")
@click.argument("id", shell_complete=completing.rollouts)
@click.option("-m", "--reason", default="", help="Why, for the others.")
@trying
@pass_session
def abort(session: Session, id: str, reason: str) -> None:
    """Send nothing new for rollout ID; what is being recreated may end."""
    with session.client() as client:
        _told(session, client.abort_rollout(id, _stop(reason)))


def _stop(reason: str) -> "StopRollout":
    from fleet.api.rollouts import StopRollout

    return build(StopRollout, reason=reason)


def _answer(wave: int | None, reason: str) -> "AnswerWave":
    from fleet.api.rollouts import AnswerWave

    return build(AnswerWave, wave=wave, reason=reason)


def _told(session: Session, answer: "RolloutAnswer") -> None:
    if print_answer(session, answer):
        return
    click.echo(f"rollout #{answer.rollout.number} {_standing(answer.rollout)}")
