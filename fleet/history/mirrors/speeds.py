"""How fast the mirrors of hosts are: what looks measured lately, by host, for policies that ask the fastest first."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median_low
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.mirrors.liars import seen_lying
from fleet.history.rules.policies import EffectivePolicy, effective_for
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.tables.facts import mirror_probes as table
from fleet.rollouts.policy import with_speeds

COUNTS_FOR = timedelta(days=7)
"""How long a measurement counts. A host measures each mirror once a day, so that the middle one of a week stands for it:
one bad evening does not change who is asked first."""
WITNESSES = 2
"""So many hosts have to have had wrong bytes of a mirror before others believe it, too."""


def measured_for(
    connection: Connection, now: datetime, holding: Mapping[UUID, EffectivePolicy]
) -> dict[UUID, EffectivePolicy]:
    """Return the policies of hosts, with what each host measured where its policy asks the fastest mirror first."""
    wanted = [host_id for host_id, each in holding.items() if each.policy.speeds is not None]
    found = _speeds_of(connection, now, wanted) if wanted else {}
    told = {id: with_speeds(holding[id].policy, found.get(id, {})) for id in wanted}
    return {**holding, **{id: replace(holding[id], policy=policy) for id, policy in told.items()}}


def measured_policies(db: Database) -> dict[UUID, EffectivePolicy]:
    """Return what holds for every host that was not removed, with what it measured of its mirrors where that counts."""
    with db.reading() as connection:
        return measured_for(connection, db.moment(connection), effective_for(connection))


def _speeds_of(connection: Connection, now: datetime, host_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """Return bytes a second by host and mirror: the lower middle of what was measured; what was not, or lied lately, is left out."""
    query = select(table.c.host_id, table.c.mirror, table.c.bytes_per_s).where(
        among(connection, table.c.host_id, host_ids), table.c.recorded_at > now - COUNTS_FOR, table.c.bytes_per_s > 0
    )
    # Whoever gives anything gives it fast. But one host alone takes no mirror from the others.
    lying = seen_lying(connection, now)
    witnesses = Counter(mirror for mirrors in lying.values() for mirror in mirrors)
    measured: dict[UUID, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in connection.execute(query):
        if row.mirror not in lying.get(row.host_id, ()) and witnesses[row.mirror] < WITNESSES:
            measured[row.host_id][row.mirror].append(row.bytes_per_s)
    return {
        host_id: {mirror: median_low(values) for mirror, values in mirrors.items()}
        for host_id, mirrors in measured.items()
    }
