"""How many containers of each kind there are, though they may be millions: sums of by how much they became more or fewer.

The databases write it down themselves, with each statement that changes containers, whoever sends it (migration 0038). Rows are
only added, so that writers never wait for one another; the inbox, of which one works, gathers what has come together.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, delete, func, insert, select, text

from fleet.history.sql.json_text import of_json
from fleet.history.tables.inventory import container_moves as table

MANY = 5000
"""After so many containers that hosts told of, what has come together is gathered: to sum it takes milliseconds then."""

_KIND = (table.c.image, table.c.digests, table.c.local_build, table.c.state)
_SUMS = select(*_KIND, func.sum(table.c.containers).label("containers")).group_by(*_KIND)
_THERE = _SUMS.having(func.sum(table.c.containers) != 0)
_GATHER = text(
    "WITH gone AS (DELETE FROM container_moves RETURNING *)"
    " INSERT INTO container_moves (image, digests, local_build, state, containers)"
    " SELECT image, digests, local_build, state, sum(containers) FROM gone"
    " GROUP BY image, digests, local_build, state HAVING sum(containers) <> 0"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerKind:
    """What decides how containers stand to the tag that they follow, and how they are counted."""

    image: str
    """The registry/repository:tag that they follow; empty where they follow none."""
    digests: tuple[str, ...]
    local_build: bool
    state: str


def kinds(connection: Connection) -> Counter[ContainerKind]:
    """Return how many containers of each kind there are on the hosts that were not removed."""
    found: Counter[ContainerKind] = Counter()
    for image, digests, local_build, state, count in connection.execute(_THERE):
        kind = ContainerKind(image=image, digests=_read(digests), local_build=local_build, state=state)
        found[kind] += int(count)
    return found


def tell(connection: Connection, count: int) -> None:
    """Note that a host told of *count* containers, and gather what has come together where that may have become much."""
    _TOLD.count += count
    if _TOLD.count >= MANY:
        _TOLD.count = 0
        gather(connection)


def gather(connection: Connection) -> None:
    """Make one row a kind of what has come together."""
    if connection.dialect.name == "postgresql":
        connection.execute(_GATHER)
        return
    # Whoever writes to SQLite is alone.
    rows = [dict(row) for row in connection.execute(_THERE).mappings()]
    connection.execute(delete(table))
    if rows:
        connection.execute(insert(table), rows)


@dataclass(slots=True)
class _Told:
    """Of how many containers this process was told: whether it is worth to gather, and nothing else."""

    count: int = MANY
    """Nobody knows what another process left."""


_TOLD = _Told()


@lru_cache(maxsize=8192)
def _read(digests: str) -> tuple[str, ...]:
    return tuple(of_json(digests))
