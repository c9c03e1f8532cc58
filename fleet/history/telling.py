"""Events made whole: what the tables say of what each tells of, and which hosts, containers and images it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select

from fleet.history.among import among
from fleet.history.fact_tables import FAILURES, updates
from fleet.history.inventory_tables import hosts
from fleet.history.pinned import all_targets
from fleet.history.rollout_tables import plans, rollout_hosts, rollouts
from fleet.notify.events import Event, EventType
from fleet.notify.rule import About
from fleet.notify.text import MOST_LINES
from fleet.rollouts.plan import PlanDocument
from fleet.rollouts.states import Hold, RolloutState

_OF_UPDATES = (EventType.APPLIED, EventType.FAILED, EventType.ROLLED_BACK)
_OF_ENDS = (EventType.ROLLOUT_COMPLETED, EventType.ROLLOUT_ABORTED, EventType.ROLLOUT_ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One event with what it is about."""

    event: Event
    about: tuple[About, ...]


def make_whole(connection: Connection, rows: Sequence[RowMapping], *, selecting: bool) -> list[Whole]:
    """Return the events of *rows* of ``events``; what rollouts are about is looked up only where a channel is *selecting*."""
    numbers = _numbers(connection, {row["rollout_id"] for row in rows if row["rollout_id"]})
    facts = _facts(connection, [row["id"] for row in rows if row["type"] in _OF_UPDATES])
    names = _names(connection, rows)
    found = []
    for row in rows:
        if row["type"] in _OF_UPDATES:
            if row["id"] in facts:  # else it is too old to be kept
                found.append(_update(row, facts[row["id"]], numbers))
        elif row["rollout_id"] is not None:
            about = _about_rollout(connection, row["rollout_id"]) if selecting else ()
            found.append(_rollout(connection, row, numbers.get(row["rollout_id"], 0), about))
        else:
            found.append(_other(connection, row, names, selecting))
    return found


def _update(row: RowMapping, fact: RowMapping, numbers: Mapping[UUID, int]) -> Whole:
    data = {**_line(fact), "reason": fact["reason"], "rollout": numbers.get(fact["rollout_id"], 0)}
    data |= {"downtime_ms": fact["downtime_ms"]} if fact["downtime_ms"] is not None else {}
    about = About(host=fact["host"], labels=fact["labels"], container=fact["container"], image=fact["image"])
    return Whole(event=_event(row, f"{fact['host']}/{fact['container']}", data), about=(about,))


def _rollout(connection: Connection, row: RowMapping, number: int, about: tuple[About, ...]) -> Whole:
    data: dict[str, Any] = {"rollout": number} | {
        k: v for k, v in row["details"].items() if k in ("state", "reason", "hold")
    }
    if row["type"] is EventType.APPROVAL_REQUESTED:
        data["command"] = f"fleet approve {number}"
    elif row["type"] is EventType.ROLLOUT_PAUSED:
        data["reason"] = data.get("reason") or Hold(data["hold"]).words
        data["command"] = f"fleet rollout show {number}"
    elif row["type"] in _OF_ENDS:
        data |= _summary(connection, row["rollout_id"])
        data |= {"command": f"fleet rollout show {number}"} if data["state"] != RolloutState.COMPLETED else {}
    return Whole(event=_event(row, f"rollout/{number}", data), about=about)


def _other(connection: Connection, row: RowMapping, names: Mapping[str, Mapping[str, str]], selecting: bool) -> Whole:
    """Return an event that holds all that there is to say of it: of a condition, or of what a schedule found."""
    about: tuple[About, ...] = ()
    data = dict(row["details"])
    host, _, container = row["subject"].partition("/")
    if row["type"] is EventType.AVAILABLE:
        plan_id = UUID(data.pop("plan_id"))
        about = _about_plan(connection, plan_id) if selecting else ()
    elif host in names:
        about = (About(host=host, labels=names[host], container=container),)
    elif data.get("code", "").startswith("tag-"):
        about = (About(image=row["subject"]),)
    return Whole(event=_event(row, row["subject"], data), about=about)


def _event(row: RowMapping, subject: str, data: Mapping[str, Any]) -> Event:
    return Event(id=row["id"], type=row["type"], severity=row["severity"], subject=subject, at=row["at"], data=data)


def _summary(connection: Connection, rollout_id: UUID) -> dict[str, Any]:
    """Return what the updates of a rollout came to: counted, and the first of them in lines, what went wrong before the rest."""
    mine = updates.c.rollout_id == rollout_id
    query = select(updates.c.result, func.count().label("counted")).where(mine).group_by(updates.c.result)
    counts = {row.result.value: row.counted for row in connection.execute(query)}
    shown: list[RowMapping] = []
    for which in (updates.c.result.in_(FAILURES), updates.c.result.not_in(FAILURES)):
        left = MOST_LINES - len(shown)
        if left:
            lines = _updates().where(mine, which).order_by(updates.c.id).limit(left)
            shown += connection.execute(lines).mappings().all()
    more = sum(counts.values()) - len(shown)
    return {
        "hosts": _states(connection, rollout_id),
        "results": counts,
        "updates": [_line(row) for row in shown],
        **({"more": more} if more else {}),
    }


def _states(connection: Connection, rollout_id: UUID) -> dict[str, int]:
    """Return how many hosts of a rollout are in which state: of one that fell silent no outcome tells."""
    r = rollout_hosts.c
    query = select(r.state, func.count().label("counted")).where(r.rollout_id == rollout_id).group_by(r.state)
    return {row.state.value: row.counted for row in connection.execute(query)}


def _facts(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, RowMapping]:
    if not ids:
        return {}
    query = _updates().where(among(connection, updates.c.id, ids))
    return {row["id"]: row for row in connection.execute(query).mappings()}


def _updates() -> Any:
    u = updates.c
    told = (
        u.id,
        u.rollout_id,
        u.container,
        u.image,
        u.result,
        u.reason,
        u.old_digest,
        u.new_digest,
        u.mirror,
        u.downtime_ms,
    )
    return select(*told, hosts.c.name.label("host"), hosts.c.labels).join(hosts, hosts.c.id == u.host_id)


def _line(row: RowMapping) -> dict[str, Any]:
    """Return one update: who asked for it is nobody's business outside."""
    parts = ("host", "container", "image", "old_digest", "new_digest", "mirror")
    return {**{part: row[part] for part in parts}, "result": row["result"].value}


def _numbers(connection: Connection, ids: set[UUID]) -> dict[UUID, int]:
    if not ids:
        return {}
    query = select(rollouts.c.id, rollouts.c.number).where(rollouts.c.id.in_(ids))
    return {row.id: row.number for row in connection.execute(query)}


def _names(connection: Connection, rows: Sequence[RowMapping]) -> dict[str, Mapping[str, str]]:
    """Return the labels of the hosts, by name, that events may be about which name none by its id."""
    wanted = {row["subject"].partition("/")[0] for row in rows if row["subject"]}
    if not wanted:
        return {}
    query = select(hosts.c.name, hosts.c.labels).where(hosts.c.removed_at.is_(None), hosts.c.name.in_(wanted))
    return {row.name: row.labels for row in connection.execute(query)}


def _about_rollout(connection: Connection, rollout_id: UUID) -> tuple[About, ...]:
    """Return every container of a rollout, as its plan pinned them."""
    targets = all_targets(connection, rollout_id)
    query = select(hosts.c.id, hosts.c.name, hosts.c.labels).where(among(connection, hosts.c.id, targets))
    return tuple(
        About(host=row.name, labels=row.labels, container=target["container"], image=target["image"])
        for row in connection.execute(query)
        for target in targets[row.id]
    )


def _about_plan(connection: Connection, plan_id: UUID) -> tuple[About, ...]:
    """Return every container that a plan would update; none where the plan is not kept any more."""
    document = connection.execute(select(plans.c.document).where(plans.c.id == plan_id)).scalar()
    planned = PlanDocument.parse(document).hosts.touched() if document is not None else ()
    ids = [host.host_id for host in planned]
    query = select(hosts.c.id, hosts.c.labels).where(among(connection, hosts.c.id, ids))
    labels = {row.id: row.labels for row in connection.execute(query)} if ids else {}
    return tuple(
        About(host=host.host, labels=labels.get(host.host_id, {}), container=each.container, image=each.image)
        for host in planned
        for each in host.containers
    )
