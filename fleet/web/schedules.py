"""The routes of schedules."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from fleet.api.form import Done
from fleet.api.schedules import (
    ChangeSchedule,
    CreateSchedule,
    Schedule,
    ScheduleAnswer,
    ScheduleRun,
    ScheduleRuns,
    Schedules,
)
from fleet.controller.plans import check_hosts
from fleet.errors import BadInput
from fleet.history.rollouts import schedules
from fleet.history.rollouts.schedules import ScheduleChange, ScheduleRow
from fleet.rollouts import clock_changes
from fleet.rollouts.cron import explain, next_run
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre
from fleet.web.selecting import selector_of, spec_of

router = APIRouter(tags=["schedules"])

MOST_RUNS = 500
"""How many of the next runs are told at once."""
SHOWN_RUNS = 3
"""How many of the next runs are shown."""


@router.get("/schedule-runs")
def list_runs(
    centre: ThisCentre,
    _: Reader,
    schedule: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS)] = 20,
) -> ScheduleRuns:
    """List the next runs of one schedule, or of all that are not paused, soonest first."""
    rows = [schedules.schedule(centre.db, schedule)] if schedule else schedules.schedules(centre.db)
    now = centre.db.now()
    each = [_runs(row, now) for row in rows if row.enabled]
    return ScheduleRuns(runs=tuple(islice(heapq.merge(*each, key=lambda run: run.at), limit)))


@router.get("/schedules")
def list_schedules(centre: ThisCentre, _: Reader) -> Schedules:
    """List the schedules."""
    return Schedules(schedules=tuple(_schedule(row) for row in schedules.schedules(centre.db)))


@router.post("/schedules", status_code=201)
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


@router.get("/schedules/{name}")
def show_schedule(centre: ThisCentre, _: Reader, name: str) -> ScheduleAnswer:
    """Show a schedule in words, with its next runs."""
    return _answer(centre, schedules.schedule(centre.db, name))


@router.patch("/schedules/{name}")
def change_schedule(centre: ThisCentre, caller: Writer, name: str, body: ChangeSchedule) -> ScheduleAnswer:
    """Change what is given, and leave the rest; also pause a schedule, or let it run again."""
    change = ScheduleChange(
        cron=body.cron,
        zone=body.zone,
        action=body.action,
        selector=None if body.selector is None else selector_of(body.selector),
        spec=spec_of(None, body.spec_text, body.spec_name) if body.spec_text else None,
        without_spec=body.spec_text == "",
        late=None if body.late_ms is None else timedelta(milliseconds=body.late_ms),
    )
    if change.selector is not None:
        check_hosts(centre.db, change.selector)
    row = schedules.change_schedule(centre.db, name, change, **caller.by())
    if body.enabled is not None:
        row = schedules.enable_schedule(centre.db, row.id, enabled=body.enabled, **caller.by())
    return _answer(centre, row)


@router.delete("/schedules/{name}")
def remove_schedule(centre: ThisCentre, caller: Writer, name: str) -> Done:
    """Remove a schedule; what it did stays in the history."""
    schedules.delete_schedule(centre.db, name, **caller.by())
    return Done()


@router.post("/schedules/{name}/run")
def run_schedule(centre: ThisCentre, caller: Writer, name: str) -> ScheduleAnswer:
    """Let a schedule be due now."""
    return _answer(centre, schedules.run_schedule_now(centre.db, name, **caller.by()))


def all_in_words(centre: Centre) -> tuple[ScheduleAnswer, ...]:
    """Return every schedule in words, with its next runs."""
    return tuple(_answer(centre, row) for row in schedules.schedules(centre.db))


def _answer(centre: Centre, row: ScheduleRow) -> ScheduleAnswer:
    now = centre.db.now()
    runs = tuple(islice(_runs(row, now), SHOWN_RUNS)) if row.enabled else ()
    return ScheduleAnswer(
        schedule=_schedule(row),
        explained=explain(row.cron),
        next_runs=tuple(run.at for run in runs),
        runs=runs,
        clock_notes=_clock_notes(row, now),
    )


def _clock_notes(row: ScheduleRow, now: datetime) -> tuple[str, ...]:
    try:
        return clock_changes.notes(row.cron, row.zone, now)
    except BadInput:
        return ()  # its zone is gone from this machine: it has no next run either


def _runs(row: ScheduleRow, now: datetime) -> Iterator[ScheduleRun]:
    """Yield the runs after *now*; they end where the schedule fires no more."""
    at = now
    while True:
        try:
            at = next_run(row.cron, row.zone, at)
        except BadInput:
            return
        yield ScheduleRun(
            schedule=row.name,
            action=row.action,
            at=at,
            zone=row.zone,
            local=clock_changes.local(row.zone, at),
            note=clock_changes.note(row.cron, row.zone, at),
        )


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
