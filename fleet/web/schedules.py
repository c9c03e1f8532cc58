"""The routes of schedules."""

from datetime import datetime, timedelta

from fastapi import APIRouter

from fleet.api.form import Done
from fleet.api.schedules import ChangeSchedule, CreateSchedule, Schedule, ScheduleAnswer, Schedules
from fleet.controller.plans import check_hosts
from fleet.errors import BadInput
from fleet.history import schedules
from fleet.history.schedules import ScheduleRow
from fleet.rollouts.cron import explain, next_run
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre
from fleet.web.selecting import selector_of, spec_of

router = APIRouter(prefix="/schedules", tags=["schedules"])

SHOWN_RUNS = 3
"""How many of the next runs are shown."""


@router.get("")
def list_schedules(centre: ThisCentre, _: Reader) -> Schedules:
    """List the schedules."""
    return Schedules(schedules=tuple(_schedule(row) for row in schedules.schedules(centre.db)))


@router.post("", status_code=201)
def create_schedule(centre: ThisCentre, caller: Writer, body: CreateSchedule) -> ScheduleAnswer:
    """Let something be done by the clock."""
    selector = selector_of(body.selector)
    check_hosts(centre.db, selector)
    row = schedules.create_schedule(
        centre.db,
        name=body.name,
        cron=body.cron,
        zone=body.zone,
        action=body.action,
        selector=selector,
        spec=spec_of(body.spec, body.spec_text, body.spec_name),
        late=timedelta(milliseconds=body.late_ms) if body.late_ms is not None else None,
        **caller.by(),
    )
    return _answer(centre, row)


@router.get("/{name}")
def show_schedule(centre: ThisCentre, _: Reader, name: str) -> ScheduleAnswer:
    """Show a schedule in words, with its next runs."""
    return _answer(centre, schedules.schedule(centre.db, name))


@router.patch("/{name}")
def change_schedule(centre: ThisCentre, caller: Writer, name: str, body: ChangeSchedule) -> ScheduleAnswer:
    """Pause a schedule, or let it run again."""
    return _answer(centre, schedules.enable_schedule(centre.db, name, enabled=body.enabled, **caller.by()))


@router.delete("/{name}")
def remove_schedule(centre: ThisCentre, caller: Writer, name: str) -> Done:
    """Remove a schedule; what it did stays in the history."""
    schedules.delete_schedule(centre.db, name, **caller.by())
    return Done()


@router.post("/{name}/run")
def run_schedule(centre: ThisCentre, caller: Writer, name: str) -> ScheduleAnswer:
    """Let a schedule be due now."""
    return _answer(centre, schedules.run_schedule_now(centre.db, name, **caller.by()))


def all_in_words(centre: Centre) -> tuple[ScheduleAnswer, ...]:
    """Return every schedule in words, with its next runs."""
    return tuple(_answer(centre, row) for row in schedules.schedules(centre.db))


def _answer(centre: Centre, row: ScheduleRow) -> ScheduleAnswer:
    runs = _next_runs(row, centre.db.now()) if row.enabled else ()
    return ScheduleAnswer(schedule=_schedule(row), explained=explain(row.cron), next_runs=runs)


def _next_runs(row: ScheduleRow, now: datetime) -> tuple[datetime, ...]:
    runs: list[datetime] = []
    at = now
    try:
        while len(runs) < SHOWN_RUNS:
            at = next_run(row.cron, row.zone, at)
            runs.append(at)
    except BadInput:
        pass  # it fires fewer times than that
    return tuple(runs)


def _schedule(row: ScheduleRow) -> Schedule:
    return Schedule(
        id=row.id,
        name=row.name,
        cron=row.cron,
        zone=row.zone,
        action=row.action,
        selector=row.selector.document(),
        spec=row.spec.document() if row.spec else None,
        enabled=row.enabled,
        created_by=row.created_by,
        created_at=row.created_at,
        next_run_at=row.next_run_at,
        last_run_at=row.last_run_at,
        last_result=row.last_result,
        late_ms=None if row.late is None else round(row.late.total_seconds() * 1000),
        missed=row.missed,
        last_missed_at=row.last_missed_at,
    )
