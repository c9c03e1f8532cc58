"""By how much hosts in each state of a wave became more or fewer: their sums tell how many there are, and nothing is counted.

PostgreSQL writes it down itself, with each statement that changes hosts in rollouts, whoever sends it: to count the rows it
would look at each that was written lately. Rows are only added, so that writers never wait for one another, and ticks gather
what has come together. Hosts that are pending are not told of: they are what the others leave of a wave's size.
"""

from collections import defaultdict
from uuid import UUID

from sqlalchemy import Connection, bindparam, text

from fleet.history.sql.columns import Id
from fleet.rollouts.states import HostState

MANY = 50
"""From so many rows of a rollout on they are gathered: a statement that changes hosts adds two or three."""

_SCATTERED: dict[UUID, int] = {}
"""How many rows of a rollout this process read last: whether it is worth to gather them, and nothing else."""
_REMEMBERED = 10_000

_SUMS = text(
    "SELECT wave, state, sum(hosts) AS hosts, count(*) AS rows FROM wave_moves WHERE rollout_id = :id GROUP BY wave, state"
).bindparams(bindparam("id", type_=Id()))
_GATHER = text(
    "WITH gone AS (DELETE FROM wave_moves WHERE rollout_id = :id RETURNING wave, state, hosts)"
    " INSERT INTO wave_moves (rollout_id, wave, state, hosts)"
    " SELECT :id, wave, state, sum(hosts) FROM gone GROUP BY wave, state HAVING sum(hosts) <> 0"
).bindparams(bindparam("id", type_=Id()))


def moved(connection: Connection, id: UUID) -> dict[int, dict[HostState, int]]:
    """Return, by wave, how many hosts of a rollout are in which state but pending; PostgreSQL alone knows."""
    found: dict[int, dict[HostState, int]] = defaultdict(dict)
    scattered = 0
    for wave, state, hosts, rows in connection.execute(_SUMS, {"id": id}):
        scattered += rows
        if hosts:
            found[wave][HostState(state)] = hosts
    if len(_SCATTERED) > _REMEMBERED:
        _SCATTERED.clear()
    _SCATTERED[id] = scattered
    return found


def gather(connection: Connection, id: UUID) -> None:
    """Make one row a state of what has come together of a rollout, where it has become much."""
    if _SCATTERED.get(id, 0) >= MANY:
        connection.execute(_GATHER, {"id": id})
