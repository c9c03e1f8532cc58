"""``fleet schedule``: checks and updates by the clock."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer
from fleet.cli.listing import Listing, NamedListing, print_items
from fleet.cli.select import selecting
from fleet.cli.session import Branch, Session, pass_session, trying
from fleet.cli.spec import spec_text
from fleet.cli.sure import be_sure, unasked
from fleet.cli.words import NOTHING, Duration, chosen, length, moment
from fleet.errors import BadInput

if TYPE_CHECKING:
    from fleet.api.schedules import Schedule, ScheduleAnswer, ScheduleRun
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
_RUNS = (
    Column("WHEN"),
    Column("LOCAL", 1),
    Column("ZONE", 2),
    Column("SCHEDULE"),
    Column("ACTION", 3),
    Column("NOTE", 1),
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
@trying
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


@schedule.command("ls", cls=NamedListing)
@pass_session
def ls(session: Session) -> None:
    """List the schedules."""
    from fleet.api.schedules import Schedule

    with session.client() as client:
        answer = client.schedules()
    if print_answer(session, answer):
        return
    none = "no schedules; make one with: fleet schedule create"
    print_items(session, _COLUMNS, answer.schedules, _cells, none, fields=Schedule, name=lambda s: s.name)


def _cells(s: "Schedule") -> tuple[str, ...]:
    return (
        s.name,
        s.action.value,
        s.cron,
        s.zone,
        moment(s.next_run_at) if s.enabled else "paused",
        moment(s.last_run_at),
        str(s.missed),
        s.last_result or NOTHING,
    )


@schedule.command("next", cls=Listing)
@click.argument("name", required=False, default="", shell_complete=completing.schedules)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@pass_session
def next_(session: Session, name: str, limit: int) -> None:
    """List the next runs of all schedules, or of NAME: when, by its own clocks, and what a change of clocks does to them."""
    from fleet.api.schedules import ScheduleRun

    with session.client() as client:
        answer = client.schedule_runs(name, limit=limit)
    if not print_answer(session, answer):
        none = "nothing will run by the clock; see: fleet schedule ls"
        print_items(session, _RUNS, answer.runs, _run_cells, none, fields=ScheduleRun)


def _run_cells(run: "ScheduleRun") -> tuple[str, ...]:
    return moment(run.at), run.local, run.zone, run.schedule, run.action.value, run.note or NOTHING


@schedule.command("edit")
@click.argument("name", shell_complete=completing.schedules)
@click.option("--cron", help="Five fields: '0 3 * * 1-5'.")
@click.option("--zone", help="Time zone, such as Europe/Berlin.")
@click.option("--action", type=click.Choice(["check", "tell", "apply"]), help="What it does.")
@click.option("--late", type=Duration(), help="Miss a run that cannot begin within this time; 0s: however late.")
@click.option("--spec", type=click.Path(), help="A file with the waves and limits of the rollouts; - for stdin.")
@click.option("--no-spec", is_flag=True, help="No waves and limits of its own any more.")
@click.option("--everything", is_flag=True, help="Take every container of every host.")
@selecting
@trying
@pass_session
def edit(
    session: Session,
    /,
    name: str,
    late: timedelta | None,
    spec: str | None,
    no_spec: bool,
    everything: bool,
    selector: "Selector",
    **given: str | None,
) -> None:
    """Change what is given of schedule NAME, and leave the rest. Options that choose hosts and containers replace all of them."""
    from fleet.api.schedules import ChangeSchedule

    chooses = bool(selector.document())
    if (no_spec and spec) or (everything and chooses):
        raise BadInput("cannot both take something away and give it; leave out one of the two options")
    change: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    change |= {"late_ms": round(late.total_seconds() * 1000)} if late is not None else {}
    change |= spec_text(spec) if spec else {"spec_text": ""} if no_spec else {}
    change |= {"selector": selector} if chooses or everything else {}
    if not change:
        raise BadInput("cannot edit a schedule without a change; see: fleet schedule edit --help")
    with session.client() as client:
        _show(session, client.change_schedule(name, build(ChangeSchedule, **change)))


@schedule.command("show")
@click.argument("name", shell_complete=completing.schedules)
@pass_session
def show(session: Session, name: str) -> None:
    """Show a schedule in words, with its next three runs, by its own clocks and in UTC."""
    with session.client() as client:
        _show(session, client.schedule(name))


@schedule.command("pause")
@click.argument("name", shell_complete=completing.schedules)
@trying
@pass_session
def pause(session: Session, name: str) -> None:
    """Let a schedule not run until it is resumed."""
    _enable(session, name, enabled=False)


@schedule.command("resume")
@click.argument("name", shell_complete=completing.schedules)
@trying
@pass_session
def resume(session: Session, name: str) -> None:
    """Let a paused schedule run again."""
    _enable(session, name, enabled=True)


@schedule.command("rm")
@click.argument("name", shell_complete=completing.schedules)
@unasked
@trying
@pass_session
def rm(session: Session, name: str, yes: bool) -> None:
    """Remove a schedule; what it did stays in the history. Asks first at a terminal."""
    be_sure(session, f"remove the schedule {clean(name)}", yes)
    with session.client() as client:
        answer = client.remove_schedule(name)
    if not print_answer(session, answer):
        click.echo(f"schedule {name} removed")


@schedule.command("run")
@click.argument("name", shell_complete=completing.schedules)
@trying
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
    if s.spec is not None:
        click.echo("  in waves of its own; see: -o json")
    if s.late_ms is not None:
        click.echo(f"  begins at most {length(timedelta(milliseconds=s.late_ms))} late")
    if not s.enabled:
        click.echo(f"  paused; let it run again with: fleet schedule resume {s.name}")
    for run in answer.runs:
        click.echo(f"  next {moment(run.at)}" + (f" ({run.local} there)" if s.zone != "UTC" else ""))
    for note in answer.clock_notes:
        click.echo(f"  note: {clean(note)}")
    if s.last_run_at:
        click.echo(f"  last {moment(s.last_run_at)}: {clean(s.last_result) or NOTHING}")
    if s.missed:
        click.echo(f"  missed {s.missed} {'run' if s.missed == 1 else 'runs'}, the last at {moment(s.last_missed_at)}")
