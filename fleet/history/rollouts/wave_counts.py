"""How many hosts of each wave are in which state, though a wave may be all of the fleet.

PostgreSQL keeps count as rows change (``fleet.history.rollouts.wave_moves``). On SQLite an index alone answers it, in time that grows
with the hosts: so in a large wave the state that most of its hosts are in is not counted, since it is what the others leave of
the wave's size. Where that is few, it is counted all the same. A wave of an earlier release, which does not know its size, is
counted on either.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, text

from fleet.history.rollouts.wave_moves import moved
from fleet.history.sql.columns import Id
from fleet.rollouts.states import HostState

Counts = dict[int, dict[HostState, int]]
"""By wave and state; states without hosts may be left out."""

MANY = 2000
"""From so many hosts on a state is not counted."""

_MOST: dict[tuple[UUID, int], HostState] = {}
"""In which state most hosts of a wave were when this process last counted: which one to leave out, and nothing else."""
_REMEMBERED = 10_000

_EACH = (
    "SELECT asked.number, asked.state, (SELECT count(*) FROM rollout_hosts AS counted WHERE counted.rollout_id = :id"
    " AND counted.wave = asked.number AND counted.state = asked.state) FROM ({asked}) AS asked"
)
_ASKED = {
    "postgresql": (
        "SELECT CAST(pair->>0 AS integer) AS number, pair->>1 AS state FROM json_array_elements(CAST(:asked AS json)) AS pair"
    ),
    "sqlite": (
        "SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS state FROM json_each(:asked)"
    ),
}
_STATEMENTS = {
    name: text(_EACH.format(asked=asked)).bindparams(bindparam("id", type_=Id())) for name, asked in _ASKED.items()
}


def counts_of(connection: Connection, id: UUID, waves: Sequence[RowMapping]) -> Counts:
    """Return how many hosts of each of a rollout's *waves* are in which state."""
    if connection.dialect.name == "postgresql":
        return _kept(connection, id, waves)
    left_out = {
        wave["number"]: _MOST.get((id, wave["number"]), HostState.PENDING)
        for wave in waves
        if (wave["hosts"] or 0) >= MANY
    }
    numbers = [wave["number"] for wave in waves]
    asked = [(number, state) for number in numbers for state in HostState if left_out.get(number) is not state]
    counts = _counted(connection, id, asked)
    few = []
    for wave in waves:
        number = wave["number"]
        if (state := left_out.get(number)) is None:
            continue
        rest = wave["hosts"] - sum(counts[number].values())
        if rest >= MANY:
            counts[number][state] = rest
        else:
            few.append((number, state))
    for number, found in _counted(connection, id, few).items():
        counts[number] |= found
    _remember(id, counts)
    return counts


def _kept(connection: Connection, id: UUID, waves: Sequence[RowMapping]) -> Counts:
    sizes = {wave["number"]: wave["hosts"] for wave in waves}
    unsized = [number for number, size in sizes.items() if size is None]
    counts = _counted(connection, id, [(number, state) for number in unsized for state in HostState])
    if len(unsized) == len(sizes):
        return counts
    moves = moved(connection, id)
    for number, size in sizes.items():
        if size is not None:
            others = moves.get(number, {})
            left = size - sum(others.values())
            counts[number] = others | ({HostState.PENDING: left} if left else {})
    return counts


def _counted(connection: Connection, id: UUID, asked: Iterable[tuple[int, HostState]]) -> Counts:
    counts: Counts = defaultdict(dict)
    if pairs := [(number, state.value) for number, state in asked]:
        rows: Any = connection.execute(_STATEMENTS[connection.dialect.name], {"id": id, "asked": json.dumps(pairs)})
        for number, state, hosts in rows:
            if hosts:
                counts[number][HostState(state)] = hosts
    return counts


def _remember(id: UUID, counts: Counts) -> None:
    if len(_MOST) > _REMEMBERED:
        _MOST.clear()
    for number, of_wave in counts.items():
        if of_wave:
            _MOST[id, number] = max(of_wave, key=of_wave.__getitem__)
