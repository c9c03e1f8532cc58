"""Events made whole: what the tables say of what each tells of, and which hosts, containers and images it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select

from fleet.history.notify.summaries import Outdated, Parts, facts, key_of, line, of_rollout, outdated
from fleet.history.sql.among import among
from fleet.history.tables.facts import FAILURES
from fleet.history.tables.inventory import hosts
from fleet.history.tables.notify import events
from fleet.history.tables.rollouts import plans, rollouts
from fleet.notify.events import OF_UPDATES, Event, EventType
from fleet.notify.rule import About, takes
from fleet.notify.severity import Severity
from fleet.rollouts.plan import PlanDocument
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import BAD, Hold, RolloutState


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One event with what it is about."""

    event: Event
    about: tuple[About, ...]
    own: Mapping[UUID, Event] = field(default_factory=dict)
    """By channel, where it is told of a part: what it is told."""


def make_whole(connection: Connection, rows: Sequence[RowMapping], chosen: Mapping[UUID, Selector]) -> list[Whole]:
    """Return the events of *rows* of ``events``.

    *chosen* says which channels are told of what only: what rollouts are about is looked up where there are such.
    """
    numbers = _numbers(connection, {row["rollout_id"] for row in rows if row["rollout_id"]})
    told = facts(connection, [row["id"] for row in rows if row["type"] in OF_UPDATES])
    names = _names(connection, rows)
    found = []
    for row in rows:
        if row["type"] in OF_UPDATES:
            if row["id"] in told:  # else it is too old to be kept
                found.append(_update(connection, row, told[row["id"]], numbers))
        elif row["rollout_id"] is not None:
            found.append(_rollout(connection, row, numbers.get(row["rollout_id"], 0), chosen))
        elif row["type"] is EventType.AVAILABLE:
            found.append(_available(connection, row, chosen))
        else:
            found.append(_other(row, names))
    return found


def _update(connection: Connection, row: RowMapping, fact: RowMapping, numbers: Mapping[UUID, int]) -> Whole:
    told = {**line(connection, fact), "reason": fact["reason"], "rollout": numbers.get(fact["rollout_id"], 0)}
    told |= {"downtime_ms": fact["downtime_ms"]} if fact["downtime_ms"] is not None else {}
    about = About(host=fact["host"], labels=fact["labels"], container=fact["container"], image=fact["image"])
    return Whole(event=_event(row, f"{fact['host']}/{fact['container']}", told), about=(about,))


def _rollout(connection: Connection, row: RowMapping, number: int, chosen: Mapping[UUID, Selector]) -> Whole:
    data: dict[str, Any] = {"rollout": number} | {
        k: v for k, v in row["details"].items() if k in ("state", "reason", "hold")
    }
    if row["type"] is EventType.APPROVAL_REQUESTED:
        data["command"] = f"fleet approve {number}"
        # An earlier release did not write which wave it is.
        data |= {"wave": row["details"]["wave"] + 1} if "wave" in row["details"] else {}
    elif row["type"] is EventType.ROLLOUT_PAUSED:
        data["reason"] = data.get("reason") or Hold(data["hold"]).words
        data["command"] = f"fleet rollout show {number}"
    elif row["type"].ends_a_rollout:
        data |= {"command": f"fleet rollout show {number}"} if data["state"] != RolloutState.COMPLETED else {}
    subject = f"rollout/{number}"
    parts = Parts(connection, row["rollout_id"])
    about = parts.about if chosen else ()
    if not row["type"].ends_a_rollout:
        return Whole(event=_event(row, subject, data), about=about)
    own = {
        channel: _part(_event(row, subject, {**data, **parts.of(selector)}))
        for channel, selector in chosen.items()
        if any(takes(selector, each) for each in about)
    }
    return Whole(
        event=_event(row, subject, {**data, **of_rollout(connection, row["rollout_id"])}), about=about, own=own
    )


def _part(event: Event) -> Event:
    """Return the end of a rollout as it was for a part of it: where nothing of that failed, it went well."""
    if event.data["state"] != RolloutState.COMPLETED_WITH_FAILURES:
        return event
    if any(state in event.data["hosts"] for state in BAD) or any(each in event.data["results"] for each in FAILURES):
        return event
    data = {part: value for part, value in event.data.items() if part != "command"}
    return replace(event, severity=Severity.INFO, data={**data, "state": RolloutState.COMPLETED.value})


def _available(connection: Connection, row: RowMapping, chosen: Mapping[UUID, Selector]) -> Whole:
    """Return what a schedule found outdated: what it did not find the last time comes first."""
    data = dict(row["details"])
    found = _planned(connection, UUID(data.pop("plan_id")))
    if not found:
        return Whole(event=_event(row, row["subject"], data), about=())
    known = frozenset(key_of(told) for _, told in _found_before(connection, row))
    own = {}
    for channel, selector in chosen.items():
        if mine := [each for each in found if takes(selector, each[0])]:
            own[channel] = _event(row, row["subject"], {**data, "more": 0, **outdated(mine, known)})
    event = _event(row, row["subject"], {**data, **outdated(found, known)})
    return Whole(event=event, about=tuple(about for about, _ in found), own=own)


def _found_before(connection: Connection, row: RowMapping) -> list[Outdated]:
    """Return what the same schedule found outdated the last time; none where that is not kept any more."""
    e = events.c
    mine = (e.subject == row["subject"], e.type == EventType.AVAILABLE, e.at < row["at"])
    before = connection.execute(select(e.details).where(*mine).order_by(e.at.desc()).limit(1)).scalar()
    return _planned(connection, UUID(before["plan_id"])) if before else []


def _other(row: RowMapping, names: Mapping[str, Mapping[str, str]]) -> Whole:
    """Return an event that holds all that there is to say of it: of a condition, or a test."""
    about: tuple[About, ...] = ()
    host, _, container = row["subject"].partition("/")
    if host in names:
        about = (About(host=host, labels=names[host], container=container),)
    elif row["details"].get("code", "").startswith("tag-"):
        about = (About(image=row["subject"]),)
    return Whole(event=_event(row, row["subject"], row["details"]), about=about)


def _event(row: RowMapping, subject: str, data: Mapping[str, Any]) -> Event:
    return Event(id=row["id"], type=row["type"], severity=row["severity"], subject=subject, at=row["at"], data=data)


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


def _planned(connection: Connection, plan_id: UUID) -> list[Outdated]:
    """Return every container that a plan would update; none where the plan is not kept any more."""
    document = connection.execute(select(plans.c.document).where(plans.c.id == plan_id)).scalar()
    planned = list(PlanDocument.parse(document).hosts.touched()) if document is not None else []
    ids = [host.host_id for host in planned]
    query = select(hosts.c.id, hosts.c.labels).where(among(connection, hosts.c.id, ids))
    labels = {row.id: row.labels for row in connection.execute(query)} if ids else {}
    return [
        (
            About(host=host.host, labels=labels.get(host.host_id, {}), container=each.container, image=each.image),
            {
                "host": host.host,
                "container": each.container,
                "image": each.image,
                "old_digest": each.old_digest,
                "new_digest": each.digest,
            },
        )
        for host in planned
        for each in host.containers
    ]
