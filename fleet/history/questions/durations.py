"""How long updates take, phase by phase, and how pulls through mirrors compare with pulls from the origin.

Both look at the newest rows that fit, a bounded number of them, and say how many these were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from math import ceil
from typing import Any

from sqlalchemy import Connection, select

from fleet.history.questions.language import Query
from fleet.history.questions.outcome_pages import Search
from fleet.history.sql.database import Database
from fleet.history.tables.facts import attempts, pulls
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role

LOOKED_AT = 1000
"""How many of the newest rows are looked at."""

PHASES = ("pull_ms", "create_ms", "stop_ms", "start_ms", "verify_ms", "rollback_ms", "downtime_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRow:
    """How long one phase took, in milliseconds, over the updates that reached it."""

    phase: str
    updates: int
    p50_ms: int
    p95_ms: int
    most_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long updates take."""

    phases: tuple[PhaseRow, ...]
    looked_at: int
    """How many updates this was counted over: the newest that fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """How the pulls did that one role served."""

    role: Role
    pulls: int
    bytes: int
    p50_ms: int
    p95_ms: int
    bytes_per_s: int
    """All bytes over all time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Pulls that a mirror served beside those that the origin served."""

    rows: tuple[ComparedRow, ...]
    looked_at: int
    failed: int
    """Of as many pulls in all, those that no source could serve."""


def durations(db: Database, query: Query, *, zone: tzinfo = UTC) -> Durations:
    """Return how long the phases of the newest updates took that *query* asks for."""
    with db.reading() as connection:
        search = Search.of(connection, query, db.moment(connection), zone)
        rows = _newest(connection, search) if search is not None else []
    rows = list({row.id: row for row in rows}.values())
    phases = (_phase(phase, sorted(row[i] for row in rows if row[i] is not None)) for i, phase in enumerate(PHASES))
    return Durations(phases=tuple(phase for phase in phases if phase.updates), looked_at=len(rows))


def compared(db: Database) -> Compared:
    """Return how the newest pulls did, by the role of the source that served the most bytes of each."""
    p, a = pulls.c, attempts.c
    newest = select(p.id, p.mirror, p.bytes, p.duration_ms, p.ok).order_by(p.id.desc()).limit(LOOKED_AT)
    with db.reading() as connection:
        found = connection.execute(newest).all()
        looked_at = [row for row in found if row.ok]
        # By their ids, and not by a join: every partition of the attempts would be searched for it.
        served = select(a.pull_id, a.mirror, a.role).where(
            a.pull_id.in_([row.id for row in looked_at]), a.result == AttemptResult.SERVED
        )
        roles = {(row.pull_id, row.mirror): row.role for row in connection.execute(served)}
    rows = [(roles.get((row.id, row.mirror)), row) for row in looked_at]
    groups = {role: [row for of, row in rows if of is role] for role in Role}
    return Compared(
        rows=tuple(_compared(role, group) for role, group in groups.items() if group),
        looked_at=sum(map(len, groups.values())),
        failed=len(found) - len(looked_at),
    )


def percentile(values: Sequence[int], part: float) -> int:
    """Return the least of *values*, which are sorted, that *part* of them do not exceed."""
    return values[max(0, ceil(part * len(values)) - 1)]


def _newest(connection: Connection, search: Search) -> list[Any]:
    """Return the phases of the newest rows that fit, so many of each branch."""
    rows: list[Any] = []
    for branch in search.branches:
        seen = search.below(branch, None).limit(LOOKED_AT // len(search.branches)).subquery("seen")
        found = select(*(seen.c[phase] for phase in PHASES), seen.c.id).where(*search.fits(seen.c))
        rows += connection.execute(found).all()
    return rows


def _phase(phase: str, values: list[int]) -> PhaseRow:
    name = phase.removesuffix("_ms")
    if not values:
        return PhaseRow(phase=name, updates=0, p50_ms=0, p95_ms=0, most_ms=0)
    return PhaseRow(
        phase=name,
        updates=len(values),
        p50_ms=percentile(values, 0.5),
        p95_ms=percentile(values, 0.95),
        most_ms=values[-1],
    )


def _compared(role: Role, rows: Sequence[Any]) -> ComparedRow:
    times = sorted(row.duration_ms for row in rows)
    total = sum(row.bytes for row in rows)
    return ComparedRow(
        role=role,
        pulls=len(rows),
        bytes=total,
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
        bytes_per_s=total * 1000 // max(1, sum(times)),
    )
