"""What a schedule that tells found outdated: told once, and again only when it is not the same any more."""

import hashlib
from typing import Any
from uuid import UUID

from fleet.history.noted.events import event, tell
from fleet.history.rollouts.plans import PlanRow
from fleet.history.sql.database import Database
from fleet.ids import short
from fleet.notify.events import EventType
from fleet.notify.severity import Severity
from fleet.notify.text import MOST_LINES


def tell_available(db: Database, plan: PlanRow, schedule: str) -> None:
    """Tell of the containers that *plan* would update, unless the last that this schedule told of are the same."""
    hosts = list(plan.document.hosts.touched())
    lines: list[dict[str, Any]] = []
    known = hashlib.sha256(schedule.encode())
    for host in hosts:
        for each in host.containers:
            known.update(f"\0{host.host_id.hex} {each.container} {each.digest}".encode())
            if len(lines) < MOST_LINES:
                digests = {"old_digest": each.old_digest, "new_digest": each.digest}
                lines.append({"host": host.host, "container": each.container, "image": each.image, **digests})
    count = plan.document.containers
    details: dict[str, Any] = {"plan": short(plan.id), "plan_id": plan.id.hex, "containers": count, "hosts": len(hosts)}
    details |= {"updates": lines} | ({"more": count - len(lines)} if count > len(lines) else {})
    id = UUID(bytes=known.digest()[:16], version=5)
    kind = (EventType.AVAILABLE, Severity.INFO)
    with db.writing() as connection:
        made = event(id=id, kind=kind, at=db.moment(connection), subject=f"schedule/{schedule}", details=details)
        tell(connection, [made])
