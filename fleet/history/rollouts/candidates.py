"""Whose turn has come: the first pending hosts of the waves that were opened which may be dispatched.

In a large wave so many may not be (they are silent and not parked, outside their windows, frozen, on a site that is full) that to
pass all of them takes longer than a tick has. So where nobody was found a tick looks at the next :data:`LOOKED_AT` of them, and the next
tick goes on behind those; behind the last one comes the first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, exists, false, func, not_, or_, select

from fleet.history.rollouts.caps import Cap, Sizes, caps_of, full_values, unhealthy
from fleet.history.rollouts.waiting_hosts import of_wave
from fleet.history.rules.own_windows import Admission
from fleet.history.rules.refusing import refused
from fleet.history.rules.stops import frozen, holding
from fleet.history.sql.among import among_states
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.facts import Candidate, CapFacts, WaveFacts
from fleet.rollouts.silence import silence
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, HostState
from fleet.rollouts.windows import ZONE_LABEL

LOOKED_AT = 1000
"""So many pending hosts of a wave are looked at at once, once nobody of it was found; where any is, the same tick looks at the next."""
MANY = 500
"""Where so many of those may be dispatched, it is likely of the others as well."""
AT_ONCE = 2500
"""So many are told of at once, at most, and as many dispatched hosts end a transaction: who freezes or holds anything waits for its
end, since nothing that they stop may be dispatched once they were told so.
"""

_FROM: dict[tuple[UUID, int], int] = {}
"""By rollout and wave: behind which place this process goes on looking, since up to there nobody could be dispatched."""
_REMEMBERED = 10_000

_C = rollout_hosts.c
# Made once: an alias copies all columns of its table, and each tick asks.
_OTHER = rollout_hosts.alias("other")


class Candidates:
    """The hosts of one rollout that may be dispatched now, and the caps that they meet."""

    def __init__(
        self, connection: Connection, row: RowMapping, spec: RolloutSpec, admission: Admission, now: datetime
    ) -> None:
        """Prepare the question."""
        self._connection, self._row, self._spec, self._admission = connection, row, spec, admission
        self._most = min(spec.max_parallel, AT_ONCE)
        self._query = _query(connection, spec, admission, now).limit(self._most)

    def of(self, waves: Sequence[WaveFacts], sizes: Sizes | None) -> tuple[tuple[Candidate, ...], tuple[CapFacts, ...]]:
        """Return those of *waves*, by wave and place, with the caps; *sizes* hold what was counted for caps before.

        May be a part of them, and none where the next tick finds some.
        """
        slices = [_Slice(self._connection, self._row["id"], wave) for wave in waves]
        found = self._found(slices)
        # To count for caps takes all of the fleet: where nobody may go anyway it is left alone.
        caps = caps_of(self._connection, sizes) if found else []
        if full := full_values(caps):
            found = self._found(slices, or_(unhealthy(), not_(_over(full))))
        for each in slices:
            each.remember(found)
        return tuple(found), _met(caps, found)

    def _found(self, slices: Sequence["_Slice"], *conditions: ColumnElement[bool]) -> list[Candidate]:
        query = self._query.where(*conditions)
        found = [each for part in slices for each in self._read(query.where(part.here))]
        return found[: self._most]

    def _read(self, query: Select[Any]) -> Iterator[Candidate]:
        for host_id, wave, position, not_before, name, labels, unavailable in self._connection.execute(query).all():
            yield Candidate(
                host_id=host_id,
                wave=wave,
                position=position,
                not_before=not_before,
                name=name,
                labels=labels,
                unavailable=bool(unavailable),
                zone=labels.get(ZONE_LABEL, "UTC"),
                windows=self._admission.windows_of(host_id, labels),
            )


class _Slice:
    """The pending hosts of one wave that are looked at now."""

    def __init__(self, connection: Connection, id: UUID, wave: WaveFacts) -> None:
        """Find where they begin and end."""
        self._key = (id, wave.number)
        self._last: int | None = None
        self.here = of_wave(id, wave.number, HostState.PENDING)
        first = _FROM.get(self._key)
        if wave.count(HostState.PENDING) <= LOOKED_AT or first is None:
            return
        self.here = and_(self.here, _C.position > first)
        ends = select(_C.position).where(self.here).order_by(_C.position).offset(LOOKED_AT - 1).limit(1)
        self._last = connection.execute(ends).scalar()
        if self._last is not None:
            self.here = and_(self.here, _C.position <= self._last)

    def remember(self, found: Sequence[Candidate]) -> None:
        """Go on behind them the next time, where none of them was *found*; where many were, look at all again."""
        here = sum(1 for each in found if each.wave == self._key[1])
        if here >= MANY:
            _FROM.pop(self._key, None)
        if here:
            return
        if len(_FROM) > _REMEMBERED:
            _FROM.clear()
        _FROM[self._key] = -1 if self._last is None else self._last


def _query(connection: Connection, spec: RolloutSpec, admission: Admission, now: datetime) -> Select[Any]:
    """Return the question for pending hosts, but for those that surely cannot be dispatched now; of all rollouts and waves."""
    busy = exists().where(and_(_OTHER.c.host_id == _C.host_id, among_states(_OTHER.c.state, LIVE)))
    return (
        select(_C.host_id, _C.wave, _C.position, _C.not_before, hosts.c.name, hosts.c.labels)
        .add_columns(unhealthy().label("unavailable"))
        .join(hosts, hosts.c.id == _C.host_id)
        .where(hosts.c.last_seen_at > now - silence(spec), ~busy)
        .where(not_(frozen(holding(connection, now))), not_(refused()))
        .where(or_(_C.not_before.is_(None), _C.not_before <= now), not_(admission.shut(now)))
        .order_by(_C.wave, _C.position)
    )


def _over(full: dict[str, list[str]]) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that one more host away would be more than a cap allows."""
    values = [hosts.c.labels[label].as_string().in_(values) for label, values in full.items()]
    return func.coalesce(or_(false(), *values), False)


def _met(caps: Sequence[Cap], candidates: Sequence[Candidate]) -> tuple[CapFacts, ...]:
    values = {(label, value) for candidate in candidates for label, value in candidate.labels.items()}
    return tuple(
        CapFacts(label=cap.label, value=cap.value, limit=cap.limit, unavailable=cap.unavailable)
        for cap in caps
        if (cap.label, cap.value) in values
    )
