"""What a rollout or a plan came to, as a whole and for the part of it that a channel chose."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select

from fleet.history.commands.pinned import all_targets
from fleet.history.sql.among import among
from fleet.history.tables.facts import FAILURES, updates
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.notify.rule import About, takes
from fleet.notify.text import MOST_LINES
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import HostState
from fleet.updates.outcome import Result

_UNTOUCHED = (Result.SKIPPED, Result.ALREADY_CURRENT)
"""Results that say nothing of whether a digest runs well."""


def of_rollout(connection: Connection, rollout_id: UUID) -> dict[str, Any]:
    """Return what the updates of a rollout came to: counted, and the first of them in lines, what went wrong before the rest."""
    u, r = updates.c, rollout_hosts.c
    query = select(u.result, func.count().label("counted")).where(u.rollout_id == rollout_id).group_by(u.result)
    results = {row.result: row.counted for row in connection.execute(query)}
    query = select(r.state, func.count().label("counted")).where(r.rollout_id == rollout_id).group_by(r.state)
    # Of a host that fell silent no outcome tells.
    states = {row.state: row.counted for row in connection.execute(query)}
    shown: list[UUID] = []
    for which in (u.result.in_(FAILURES), u.result.not_in(FAILURES)):
        first = select(u.id).where(u.rollout_id == rollout_id, which).order_by(u.id).limit(MOST_LINES - len(shown))
        shown += connection.execute(first).scalars()
    return _summary(connection, states, results, shown)


@dataclass
class Parts:
    """The parts of one rollout; what all of them need is read once."""

    connection: Connection
    rollout_id: UUID

    @cached_property
    def containers(self) -> dict[UUID, tuple[About, ...]]:
        """Every container of the rollout by its host, as its plan pinned them."""
        targets = all_targets(self.connection, self.rollout_id)
        query = select(hosts.c.id, hosts.c.name, hosts.c.labels).where(among(self.connection, hosts.c.id, targets))
        return {
            row.id: tuple(
                About(host=row.name, labels=row.labels, container=each["container"], image=each["image"])
                for each in targets[row.id]
            )
            for row in self.connection.execute(query)
        }

    @property
    def about(self) -> tuple[About, ...]:
        """Every container of the rollout."""
        return tuple(each for some in self.containers.values() for each in some)

    @cached_property
    def _states(self) -> dict[UUID, HostState]:
        r = rollout_hosts.c
        query = select(r.host_id, r.state).where(r.rollout_id == self.rollout_id)
        return {row.host_id: row.state for row in self.connection.execute(query)}

    @cached_property
    def _updates(self) -> list[tuple[UUID, UUID, str, str, Result]]:
        u = updates.c
        query = select(u.id, u.host_id, u.container, u.image, u.result).where(u.rollout_id == self.rollout_id)
        return [tuple(row) for row in self.connection.execute(query.order_by(u.id))]

    def of(self, selector: Selector) -> dict[str, Any]:
        """Return the summary of what *selector* takes, with how many hosts there are in all."""
        mine = {id for id, some in self.containers.items() if any(takes(selector, each) for each in some)}
        went = list(self._chosen(selector))
        states = Counter(state for id, state in self._states.items() if id in mine)
        failed = [id for id, result in went if result in FAILURES]
        well = [id for id, result in went if result not in FAILURES]
        counts = Counter(result for _, result in went)
        shown = [*failed[:MOST_LINES], *well][:MOST_LINES]
        return _summary(self.connection, states, counts, shown) | {"hosts_in_all": len(self._states)}

    def _chosen(self, selector: Selector) -> Iterator[tuple[UUID, Result]]:
        for id, host_id, container, image, result in self._updates:
            if some := self.containers.get(host_id):
                about = About(host=some[0].host, labels=some[0].labels, container=container, image=image)
                if takes(selector, about):
                    yield id, result


def _summary(
    connection: Connection, states: Mapping[HostState, int], results: Mapping[Result, int], shown: Sequence[UUID]
) -> dict[str, Any]:
    told = facts(connection, shown)
    lines = [line(connection, told[id]) for id in shown if id in told]
    more = sum(results.values()) - len(lines)
    return {
        "hosts": {state.value: count for state, count in sorted(states.items())},
        "results": {result.value: count for result, count in sorted(results.items())},
        "updates": lines,
        **({"more": more} if more else {}),
    }


def facts(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, RowMapping]:
    """Return these updates, with the names and labels of their hosts."""
    if not ids:
        return {}
    u = updates.c
    told = (u.id, u.rollout_id, u.host_id, u.container, u.image, u.result, u.reason, u.old_digest, u.new_digest)
    query = select(*told, u.mirror, u.downtime_ms, hosts.c.name.label("host"), hosts.c.labels)
    query = query.join(hosts, hosts.c.id == u.host_id).where(among(connection, u.id, ids))
    return {row["id"]: row for row in connection.execute(query).mappings()}


def line(connection: Connection, row: RowMapping) -> dict[str, Any]:
    """Return one update, with why it went wrong: who asked for it is nobody's business outside."""
    parts = ("host", "container", "image", "old_digest", "new_digest", "mirror")
    told: dict[str, Any] = {**{part: row[part] for part in parts}, "result": row["result"].value}
    if row["result"] in FAILURES:
        told["reason"] = row["reason"]
        told |= {"repeated": True} if _failed_before(connection, row) else {}
    return told


def _failed_before(connection: Connection, row: RowMapping) -> bool:
    """Tell whether what was last tried with this container was the same digest, and went wrong in the same way."""
    u = updates.c
    mine = (u.host_id == row["host_id"], u.container == row["container"], u.id < row["id"])
    query = select(u.result, u.new_digest).where(*mine, u.result.not_in(_UNTOUCHED)).order_by(u.id.desc()).limit(1)
    before = connection.execute(query).one_or_none()
    return before is not None and (before.result, before.new_digest) == (row["result"], row["new_digest"])


Outdated = tuple[About, Mapping[str, Any]]
"""One container that a plan would update, and what is told of it."""


def outdated(found: Iterable[Outdated], known: frozenset[tuple[str, ...]]) -> dict[str, Any]:
    """Return what is told of these containers: those that were not *known* to be outdated first."""
    lines = [dict(told) for _, told in found]
    fresh = [each for each in lines if key_of(each) not in known]
    if len(fresh) < len(lines):
        for each in fresh:
            each["new"] = True
    shown = [*fresh, *(each for each in lines if key_of(each) in known)][:MOST_LINES]
    more = len(lines) - len(shown)
    counts = {"containers": len(lines), "hosts": len({each["host"] for each in lines}), "new": len(fresh)}
    return {**counts, "updates": shown, **({"more": more} if more else {})}


def key_of(line: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what makes an outdated container the same news."""
    return line["host"], line["container"], line["new_digest"]
