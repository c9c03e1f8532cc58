"""What metrics show of each mirror: what hosts found when they last looked at it, among a bounded number of looks."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from fleet.history.mirrors.probes import STANDS_FOR, last_answers
from fleet.history.questions.query_ways import MOST_MIRRORS, distinct
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.tables.facts import attempts, mirror_probes
from fleet.history.tables.inventory import hosts
from fleet.history.tables.mirrors import mirror_tests
from fleet.history.tables.partitions import lowest_id
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.probe import ProbeState

LOOKED_AT = 200
"""How many of the newest looks at one mirror, and of its newest attempts, are read: enough to tell a dead mirror from one host's line."""
_NOT_UP = (ProbeState.DOWN, ProbeState.TLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMeasured:
    """One mirror, as hosts found it within two days."""

    mirror: str
    hosts: Mapping[ProbeState, int]
    """Hosts by the worst that their newest looks found: they look once for each registry."""
    probe_ms: float
    """The median of these looks."""
    last_success: datetime | None
    """When it was last found well, or last served; None: not among what was read."""
    tls_not_after: datetime | None
    """When the first of the certificates that were seen expires; None: none was."""

    @property
    def up(self) -> bool:
        """Whether at least one host gets answers of it."""
        return any(count for state, count in self.hosts.items() if state not in _NOT_UP)


def measure_mirrors(db: Database) -> list[MirrorMeasured]:
    """Return the mirrors at which hosts looked lately, by name; raises DatabaseUnreachable."""
    with db.reading() as connection:
        since = db.moment(connection) - STANDS_FOR
        names = distinct(connection, mirror_probes.c.mirror, most=MOST_MIRRORS)
        found = [_mirror(connection, name, since) for name in names]
    return [each for each in found if each is not None]


def _mirror(connection: Connection, mirror: str, since: datetime) -> MirrorMeasured | None:
    p = mirror_probes.c
    told = (p.host_id, p.registry, p.state, p.duration_ms, p.tls_not_after, p.recorded_at, p.test_id)
    query = select(*told).join(hosts, hosts.c.id == p.host_id).where(p.mirror == mirror, p.id >= lowest_id(since))
    query = (
        query.where(p.recorded_at > since, p.state.is_not(None), hosts.c.removed_at.is_(None))
        .order_by(p.id.desc())
        .limit(LOOKED_AT)
    )
    looks = _still_theirs(connection, connection.execute(query).all(), since)
    if not looks:
        return None
    newest = {(row.host_id, row.registry): row for row in reversed(looks)}
    worst: dict[object, ProbeState] = {}
    for row in newest.values():
        worst[row.host_id] = max(ProbeState(row.state), worst.get(row.host_id, ProbeState.OK), key=_SEVERITY.index)
    ends = [row.tls_not_after for row in newest.values() if row.tls_not_after is not None]
    return MirrorMeasured(
        mirror=mirror,
        hosts=Counter(worst.values()),
        probe_ms=statistics.median(row.duration_ms for row in newest.values()),
        last_success=_last_success(connection, mirror, looks),
        tls_not_after=min(ends, default=None),
    )


def _still_theirs(connection: Connection, looks: Sequence[Any], since: datetime) -> Sequence[Any]:
    """Leave out the hosts that do not name the mirror any more: each answer to a test tells of all mirrors of a host."""
    of = among(connection, mirror_tests.c.host_id, {row.host_id for row in looks if row.test_id is not None})
    last = set(connection.execute(last_answers(since, of)).scalars())
    theirs = {row.host_id for row in looks if row.test_id is None or row.test_id in last}
    return [row for row in looks if row.host_id in theirs]


_SEVERITY = (
    ProbeState.OK,
    ProbeState.LIMITED,
    ProbeState.MISSING,
    ProbeState.STALE,
    ProbeState.UNAUTHORIZED,
    ProbeState.TLS,
    ProbeState.DOWN,
)
"""From what hinders pulls least."""


def _last_success(connection: Connection, mirror: str, looks: Sequence[Any]) -> datetime | None:
    a = attempts.c
    newest = select(a.result, a.recorded_at).where(a.mirror == mirror).order_by(a.pull_id.desc()).limit(LOOKED_AT)
    served = [at for result, at in connection.execute(newest) if result is AttemptResult.SERVED]
    well = [row.recorded_at for row in looks if row.state == ProbeState.OK]
    return max([*served, *well], default=None)
