"""How many hosts with one value of a label may be away at once, over all rollouts."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    delete,
    exists,
    func,
    select,
    union,
)

from fleet.errors import BadInput, NotFound
from fleet.history.inventory.hosts import NAME
from fleet.history.noted import audit
from fleet.history.sql.among import among_states
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_or_update
from fleet.history.tables.facts import audit as acts
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import caps as table
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.size import rounded_down
from fleet.rollouts.states import BAD, LIVE, HostState

_MOST = re.compile(r"[0-9]{1,9}|(100|[0-9]{1,2})%")


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRow:
    """One cap, as a person wrote it."""

    label: str
    most: str
    """``3``, or ``25%`` of the hosts with the same value."""
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """One value of a capped label, and how many of its hosts are away."""

    label: str
    value: str
    limit: int
    unavailable: int
    """Live in any rollout, or failed at their latest try."""


def set_cap(db: Database, label: str, most: str, *, by: str, door: str) -> None:
    """Let at most *most* hosts with the same value of *label* be away at once; raise BadInput for what is no number."""
    if not NAME.fullmatch(label):
        raise BadInput(f"cannot use {label[:80]!r} as a label; letters, digits, dots, dashes, at most 63")
    if not _MOST.fullmatch(most):
        raise BadInput(f"cannot use {most[:40]!r} as a cap; give a number such as 1, or whole percent such as 25%")
    with db.writing() as connection:
        now = db.moment(connection)
        row = {"label": label, "most": most, "changed_by": by, "changed_at": now}
        insert_or_update(connection, table, [row], ("label",))
        audit.note(connection, now, by=by, door=door, action="cap set", subject=label, details={"most": most})


def drop_cap(db: Database, label: str, *, by: str, door: str) -> None:
    """Take a cap away; raise NotFound."""
    with db.writing() as connection:
        if not connection.execute(delete(table).where(table.c.label == label)).rowcount:
            raise NotFound(f"cannot find a cap of {label[:80]!r}")
        audit.note(connection, db.moment(connection), by=by, door=door, action="cap rm", subject=label)


def caps(db: Database) -> list[CapRow]:
    """Return the caps, by label."""
    with db.reading() as connection:
        return [CapRow(**row) for row in connection.execute(select(table).order_by(table.c.label)).mappings()]


def standing(db: Database) -> list[Cap]:
    """Return each value of each capped label, by label and value, with how many of its hosts are away now."""
    with db.reading() as connection:
        return sorted(caps_of(connection), key=lambda cap: (cap.label, cap.value))


Sizes = dict[str, dict[str, int]]
"""By label and value, how many hosts there are: all of the fleet is read for that, so they are counted seldom."""
COUNTED_ANEW = timedelta(minutes=1)


@dataclass(slots=True)
class KeptSizes:
    """Sizes as a planner counted them last. Hosts are added, labelled and removed by acts that are in the audit: they are counted
    anew after any act, and once a minute, should one have been written late.
    """

    _sizes: Sizes = field(default_factory=dict)
    _act: UUID | None = None
    """The newest act when they were counted."""
    _at: datetime | None = None

    def of(self, db: Database) -> Sizes:
        """Return what may be believed of them, for the time of one tick."""
        newest = select(acts.c.id).order_by(acts.c.id.desc()).limit(1)
        with db.reading() as connection:
            now, act = db.moment(connection), connection.execute(newest).scalar()
        if act != self._act or self._at is None or not timedelta() <= now - self._at < COUNTED_ANEW:
            self._sizes, self._act, self._at = {}, act, now
        return self._sizes


def caps_of(connection: Connection, sizes: Sizes | None = None) -> list[Cap]:
    """Return each value of each capped label, with how many of its hosts are away; *sizes* hold what was counted before."""
    known = sizes if sizes is not None else {}
    found = []
    for row in connection.execute(select(table.c.label, table.c.most)):
        if row.label not in known:
            known[row.label] = _counted(connection, row.label)
        away = _counted(connection, row.label, hosts.c.id.in_(_away()))
        size = row.most if row.most.endswith("%") else int(row.most)
        found += [
            Cap(label=row.label, value=name, limit=rounded_down(size, count), unavailable=away.get(name, 0))
            for name, count in known[row.label].items()
        ]
    return found


def _counted(connection: Connection, label: str, *which: ColumnElement[bool]) -> dict[str, int]:
    """Return how many hosts each value of the label has, of those *which*."""
    value = hosts.c.labels[label].as_string()
    query = select(value.label("value"), func.count().label("hosts")).group_by(value)
    rows = connection.execute(query.where(hosts.c.removed_at.is_(None), value.is_not(None), *which))
    return {row.value: row.hosts for row in rows}


def full_values(caps: Sequence[Cap]) -> dict[str, list[str]]:
    """Return, by label, the values of which not one host more may be away."""
    found: dict[str, list[str]] = defaultdict(list)
    for cap in caps:
        if cap.unavailable >= cap.limit:
            found[cap.label].append(cap.value)
    return dict(found)


@cache
def unhealthy() -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that a host failed at its latest try; one object, since each tick asks often."""
    bad = rollout_hosts.alias("bad")
    return exists().where(bad.c.host_id == hosts.c.id, *failed(bad))


@cache
def _away() -> CompoundSelect[Any]:
    """Select the hosts on which a try is under way, and those that failed at their latest one: few, by indexes of their own."""
    live, bad = rollout_hosts.alias("live_one"), rollout_hosts.alias("bad")
    under_way = select(live.c.host_id).where(among_states(live.c.state, LIVE))
    return union(under_way, select(bad.c.host_id).where(*failed(bad)))


def failed(bad: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a row of ``rollout_hosts`` is of a failure that no later success made good, in whatever rollout."""
    later = rollout_hosts.alias("later")
    ok = (later.c.host_id == bad.c.host_id, later.c.rollout_id > bad.c.rollout_id, later.c.state == HostState.SUCCEEDED)
    return among_states(bad.c.state, BAD), ~exists().where(*ok)
