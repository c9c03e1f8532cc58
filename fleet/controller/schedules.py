"""What a schedule does when it is due: look, or look, plan and apply; and when it is due next."""

import logging
from datetime import datetime

from fleet.clock import Clock
from fleet.controller import plans
from fleet.controller.check import check
from fleet.controller.resolving import Asking
from fleet.errors import BadInput, FleetError
from fleet.history import schedules
from fleet.history.containers import containers
from fleet.history.database import Database
from fleet.history.schedules import DueSchedule, ScheduleRow
from fleet.history.words import ScheduleAction
from fleet.ids import short
from fleet.rollouts.cron import next_run

log = logging.getLogger(__name__)

DOOR = "schedule"


def run_due(db: Database, due: DueSchedule, *, asking: Asking, clock: Clock | None = None) -> str:
    """Do what one claimed schedule says, write down what came of it and when it is due next, and return the former.

    A failure is a result like any other: the schedule goes on.
    """
    schedule = due.schedule
    try:
        result = _do(db, schedule, asking, clock)
    except FleetError as error:
        result = str(error)
        log.warning("schedule failed", extra={"schedule": schedule.name, "reason": result})
    else:
        log.info("schedule ran", extra={"schedule": schedule.name, "result": result})
    try:
        following: datetime | None = next_run(schedule.cron, schedule.zone, db.now())
    except BadInput as error:
        # Its zone is gone from this machine; without a next time it would be due again and again.
        following, result = None, f"{result}; and it is not due any more: {error}"
        log.error("schedule ended", extra={"schedule": schedule.name, "reason": str(error)})
    schedules.ran(db, schedule.id, result, following)
    return result


def _do(db: Database, schedule: ScheduleRow, asking: Asking, clock: Clock | None) -> str:
    by = f"schedule:{schedule.name}"
    if schedule.action is ScheduleAction.CHECK:
        rows = containers(db, schedule.selector)
        images = {row.image for row in rows if row.image and row.state == "running"}
        return str(check(db, images, asking=asking, wait_s=plans.WAIT_FOR_HOSTS_S, clock=clock))
    plan = plans.make_plan(db, schedule.selector, by=by, asking=asking, clock=clock)
    count = plan.document.containers
    if not count:
        return "nothing to update"
    rollout = plans.apply(db, plan.id, by=by, door=DOOR, spec=schedule.spec)
    return f"rollout {short(rollout)} of {count} {'container' if count == 1 else 'containers'}"
