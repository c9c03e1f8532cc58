"""What a schedule does when it is due: look, or tell, or look, plan and apply; and when it is due next."""

import logging
from datetime import datetime, timedelta

from fleet.clock import Clock
from fleet.controller import plans
from fleet.controller.check import check
from fleet.controller.resolving import Asking
from fleet.errors import BadInput, FleetError
from fleet.history.inventory.containers import containers
from fleet.history.notify.available import tell_available
from fleet.history.rollouts import schedules
from fleet.history.rollouts.plans import PlanRow
from fleet.history.rollouts.schedules import DueSchedule, ScheduleRow
from fleet.history.sql.database import Database
from fleet.history.tables.words import ScheduleAction
from fleet.ids import short
from fleet.rollouts.cron import next_run

log = logging.getLogger(__name__)

DOOR = "schedule"

MOST_MISSED = 10_000
"""How many missed runs are counted at once: a week of one that runs every minute."""
_TOLD = ("frozen", "rollout #")
"""How reasons begin that keep a schedule from updating anything, and that people would look for elsewhere."""


def run_due(db: Database, due: DueSchedule, *, asking: Asking, clock: Clock | None = None) -> str:
    """Do what one claimed schedule says, write down what came of it and when it is due next, and return the former.

    A failure is a result like any other: the schedule goes on.
    """
    schedule = due.schedule
    times = due_times(schedule.cron, schedule.zone, due.due_at, db.now())
    begins = schedule.late is None or db.now() - times[-1] <= schedule.late
    missed = times[:-1] if begins else times
    result = _result(db, schedule, asking, clock) if begins else f"missed: it was due at {times[-1]:%Y-%m-%d %H:%M} UTC"
    try:
        following: datetime | None = next_run(schedule.cron, schedule.zone, db.now())
    except BadInput as error:
        # Its zone is gone from this machine; without a next time it would be due again and again.
        following, result = None, f"{result}; and it is not due any more: {error}"
        log.error("schedule ended", extra={"schedule": schedule.name, "reason": str(error)})
    if missed:
        log.warning("runs missed", extra={"schedule": schedule.name, "runs": len(missed)})
    schedules.ran(db, schedule.id, result, following, missed=missed, began=begins)
    return result


def due_times(cron: str, zone: str, due_at: datetime, now: datetime) -> list[datetime]:
    """Return every time from *due_at* to *now* at which a run was due: one that begins now stands for the last alone."""
    times = [due_at]
    try:
        while len(times) < MOST_MISSED and (following := next_run(cron, zone, times[-1])) <= now:
            times.append(following)
    except BadInput:
        return times  # it never fires again
    if len(times) == MOST_MISSED:
        # More are not counted; but which one is the last decides whether a run may still begin.
        times[-1] = max(times[-1], _latest(cron, zone, now) or times[-1])
    return times


def _latest(cron: str, zone: str, now: datetime) -> datetime | None:
    """Return the last time up to *now* at which a run was due, where one was within a year."""
    for back in (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=31), timedelta(days=366)):
        at = next_run(cron, zone, now - back)
        if at <= now:
            while (following := next_run(cron, zone, at)) <= now:
                at = following
            return at
    return None


def _result(db: Database, schedule: ScheduleRow, asking: Asking, clock: Clock | None) -> str:
    try:
        result = _do(db, schedule, asking, clock)
    except FleetError as error:
        log.warning("schedule failed", extra={"schedule": schedule.name, "reason": str(error)})
        return str(error)
    log.info("schedule ran", extra={"schedule": schedule.name, "result": result})
    return result


def _do(db: Database, schedule: ScheduleRow, asking: Asking, clock: Clock | None) -> str:
    by = f"schedule:{schedule.name}"
    if schedule.action is ScheduleAction.CHECK:
        rows = containers(db, schedule.selector)
        images = {row.image for row in rows if row.image and row.state == "running"}
        return str(check(db, images, asking=asking, wait_s=plans.WAIT_FOR_HOSTS_S, clock=clock))
    tells = schedule.action is ScheduleAction.TELL
    plan = plans.make_plan(db, schedule.selector, by=by, asking=None if tells else asking, unattended=True, clock=clock)
    count = plan.document.containers
    if not count:
        held = next((left.reason for left in plan.document.left_out if left.reason.startswith(_TOLD)), "")
        return f"nothing to update: {held}" if held else "nothing to update"
    if tells:
        tell_available(db, plan, schedule.name)
        of = f"{count} {'container' if count == 1 else 'containers'} on {_hosts(plan)}"
        return f"plan {short(plan.id)} of {of}; carry it out with: fleet apply {short(plan.id)}"
    rollout = plans.apply(db, plan.id, by=by, door=DOOR, spec=schedule.spec)
    return f"rollout {short(rollout)} of {count} {'container' if count == 1 else 'containers'}"


def _hosts(plan: PlanRow) -> str:
    count = sum(1 for host in plan.document.hosts if host.containers)
    return f"{count} {'host' if count == 1 else 'hosts'}"
