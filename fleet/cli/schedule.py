"""``fleet schedule``: checks and updates by the clock."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer, print_table
from fleet.cli.select import selecting
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.spec import spec_text
from fleet.cli.words import NOTHING, Duration, chosen, moment

if TYPE_CHECKING:
    from fleet.api.schedules import ScheduleAnswer
    from fleet.api.selectors import Selector

_COLUMNS = (
    Column("NAME"),
    Column("ACTION"),
    Column("CRON"),
    Column("ZONE", 1),
    Column("NEXT"),
    Column("LAST", 3),
    Column("MISSED", 4, right=True),
    Column("RESULT", 2),
)


@click.group(cls=Branch)
def schedule() -> None:
    """Let checks and updates run by the clock."""


@schedule.command("create")
@click.argument("name")
@click.option("--cron", required=True, help="Five fields: '0 3 * * 1-5'.")
@click.option("--zone", default="UTC", show_default=True, help="Time zone, such as Europe/Berlin.")
@click.option("--action", type=click.Choice(["check", "tell", "apply"]), default="check", show_default=True,
              help="Look at the registries, tell what is outdated, or look and update.")  # fmt: skip
@click.option("--late", type=Duration(some=True), help="Miss a run that cannot begin within this time, such as 2h.")
@click.option("--spec", type=click.Path(), help="A file with the waves and limits of the rollouts; - for stdin.")
@selecting
@pass_session
def create(
    session: Session,
    name: str,
    cron: str,
    zone: str,
    action: str,
    late: timedelta | None,
    spec: str | None,
    selector: "Selector",
) -> None:
    """Let NAME run by the clock."""
    from fleet.api.schedules import CreateSchedule

    late_ms = None if late is None else round(late.total_seconds() * 1000)
    more = {"late_ms": late_ms, **(spec_text(spec) if spec else {})}
    request = build(CreateSchedule, name=name, cron=cron, zone=zone, action=action, selector=selector, **more)
    with session.client() as client:
        _show(session, client.create_schedule(request))


@schedule.command("ls")
@pass_session
def ls(session: Session) -> None:
    """List the schedules."""
    with session.client() as client:
        answer = client.schedules()
    if print_answer(session, answer):
        return
    rows = [
        (
            s.name,
            s.action.value,
            s.cron,
            s.zone,
            moment(s.next_run_at) if s.enabled else "paused",
            moment(s.last_run_at),
            str(s.missed),
            s.last_result or NOTHING,
        )
        for s in answer.schedules
    ]
    print_table(session, _COLUMNS, rows, "no schedules; make one with: fleet schedule create")


@schedule.command("show")
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """Show a schedule in words, with its next three runs."""
    with session.client() as client:
        _show(session, client.schedule(name))


@schedule.command("pause")
@click.argument("name")
@pass_session
def pause(session: Session, name: str) -> None:
    """Let a schedule not run until it is resumed."""
    _enable(session, name, enabled=False)


@schedule.command("resume")
@click.argument("name")
@pass_session
def resume(session: Session, name: str) -> None:
    """Let a paused schedule run again."""
    _enable(session, name, enabled=True)


@schedule.command("rm")
@click.argument("name")
@pass_session
def rm(session: Session, name: str) -> None:
    """Remove a schedule; what it did stays in the history."""
    with session.client() as client:
        answer = client.remove_schedule(name)
    if not print_answer(session, answer):
        click.echo(f"schedule {name} removed")


@schedule.command("run")
@click.argument("name")
@pass_session
def run(session: Session, name: str) -> None:
    """Let a schedule run now, as if it were due."""
    with session.client() as client:
        answer = client.run_schedule(name)
    if not print_answer(session, answer):
        click.echo(f"schedule {name} is due now; see what comes of it with: fleet schedule show {name}")


def _enable(session: Session, name: str, *, enabled: bool) -> None:
    from fleet.api.schedules import ChangeSchedule

    with session.client() as client:
        _show(session, client.change_schedule(name, ChangeSchedule(enabled=enabled)))


def _show(session: Session, answer: "ScheduleAnswer") -> None:
    if print_answer(session, answer):
        return
    s = answer.schedule
    click.echo(f"schedule {s.name}: {s.action.value}, {clean(answer.explained)} ({s.cron}, {s.zone})")
    if s.selector:
        click.echo(clean(f"  takes {chosen(s.selector)}"))
    if not s.enabled:
        click.echo(f"  paused; let it run again with: fleet schedule resume {s.name}")
    for at in answer.next_runs:
        click.echo(f"  next {moment(at)}")
    if s.last_run_at:
        click.echo(f"  last {moment(s.last_run_at)}: {clean(s.last_result) or NOTHING}")
    if s.missed:
        click.echo(f"  missed {s.missed} {'run' if s.missed == 1 else 'runs'}, the last at {moment(s.last_missed_at)}")
