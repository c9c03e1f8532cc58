"""What came of updates, with the pulls they needed and every source tried: asked in the words that people use."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from uuid import UUID

from sqlalchemy import Connection, RowMapping, and_, case, or_, select

from fleet.history.questions.language import Query
from fleet.history.questions.outcome_filter import OutcomeFilter
from fleet.history.questions.outcome_pages import page_of
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.sql.pages import FIRST, Page, PageRequest
from fleet.history.tables.facts import attempts, pulls, updates
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import plans, rollouts
from fleet.history.tables.words import Purpose
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role
from fleet.updates.outcome import Result, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """What came of one container in one command."""

    id: UUID
    command_id: UUID
    rollout_id: UUID
    host_id: UUID
    host: str
    """The host's name now."""
    pull_id: UUID | None
    asked_by: str
    container: str
    image: str
    repository: str
    result: Result
    reason: str
    old_digest: str
    new_digest: str
    old_image_id: str
    new_image_id: str
    old_container_id: str
    new_container_id: str
    mirror: str
    config_diff: tuple[str, ...]
    pull_ms: int | None
    create_ms: int | None
    stop_ms: int | None
    start_ms: int | None
    verify_ms: int | None
    rollback_ms: int | None
    downtime_ms: int | None
    finished_at: datetime
    recorded_at: datetime
    interrupted: bool | None
    """Whether the agent ended in the middle of it; None: written before that was told."""
    rollout: int | None = None
    """The number of its rollout; None: that is not there any more."""
    back: bool = False
    """Whether it was asked for to go back to what ran before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One source tried in one pull."""

    seq: int
    mirror: str
    role: Role
    result: AttemptResult
    reason: str
    status: int
    bytes: int
    requests: int
    failures: int
    first_byte_ms: int | None
    duration_ms: int
    resumed_at: tuple[int, ...]
    verified: bool
    redirected_to: tuple[str, ...] | None
    """None: written before that was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRow:
    """One pull, with every source tried."""

    id: UUID
    image: str
    digest: str
    image_id: str
    tier: Tier
    purpose: Purpose
    ok: bool
    reason: str
    mirror: str
    bytes: int
    duration_ms: int
    recorded_at: datetime
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeDetail:
    """One outcome with its pull."""

    outcome: OutcomeRow
    pull: PullRow | None


def outcomes(
    db: Database, asked: Query | OutcomeFilter, page: PageRequest = FIRST, *, zone: tzinfo = UTC
) -> Page[OutcomeRow]:
    """Return what came of updates, newest first; raises BadInput for what cannot be used.

    *zone* is that of times which were written without one. A page may hold fewer rows than were wanted and still have a
    next one: a page reads so much and no more.
    """
    query = asked.query() if isinstance(asked, OutcomeFilter) else asked
    with db.reading() as connection:
        found = page_of(connection, query, page, db.moment(connection), zone)
        return Page(items=tuple(read_outcomes(connection, found.rows)), next=found.next)


def outcome(db: Database, id: UUID | str) -> OutcomeDetail:
    """Return one outcome with its pull and attempts, by its id or its last 8 hex digits; raises NotFound."""
    with db.reading() as connection:
        found = find(connection, updates, id, what="outcome")
        (row,) = read_outcomes(connection, [found])
        return OutcomeDetail(outcome=row, pull=_pull(connection, row.pull_id))


def read_outcomes(connection: Connection, rows: Sequence[RowMapping]) -> Iterator[OutcomeRow]:
    """Yield rows of ``updates`` with the names of their hosts, the numbers of their rollouts, and whether they were ways back."""
    wanted = {row["host_id"] for row in rows}
    query = select(hosts.c.id, hosts.c.name).where(hosts.c.id.in_(wanted))
    names: dict[UUID, str] = {row.id: row.name for row in connection.execute(query)}
    known = _rollouts(connection, {row["rollout_id"] for row in rows})
    for row in rows:
        number, back = known.get(row["rollout_id"], (None, False))
        yield OutcomeRow(host=names.get(row["host_id"], ""), rollout=number, back=back, **row)


def _rollouts(connection: Connection, ids: Collection[UUID]) -> dict[UUID, tuple[int, bool]]:
    """Return the number of each of these rollouts, and whether it undoes another one, or brings one container back.

    Of a rollout that brings one back, the plan says so throughout.
    """
    # What earlier releases wrote says so in its plan alone; that of a large fleet has megabytes, and is read for nothing else.
    planned_back = plans.c.document[("hosts", "pins", 0, "back")].as_boolean()
    planned_back = or_(planned_back, plans.c.document[("hosts", 0, "containers", 0, "back")].as_boolean())
    undone = or_(
        rollouts.c.way_back_of.is_not(None), case((rollouts.c.back.is_(None), planned_back), else_=rollouts.c.back)
    )
    query = select(rollouts.c.id, rollouts.c.number, undone.label("undone"))
    query = query.outerjoin(plans, and_(plans.c.id == rollouts.c.plan_id, rollouts.c.back.is_(None)))
    return {row.id: (row.number, bool(row.undone)) for row in connection.execute(query.where(rollouts.c.id.in_(ids)))}


def _pull(connection: Connection, id: UUID | None) -> PullRow | None:
    row = connection.execute(select(pulls).where(pulls.c.id == id)).mappings().one_or_none() if id else None
    if row is None:
        return None
    query = select(attempts).where(attempts.c.pull_id == id).order_by(attempts.c.seq)
    left_out = ("pull_id", "host_id", "recorded_at")
    tried = tuple(
        AttemptRow(**{name: value for name, value in each.items() if name not in left_out})
        for each in connection.execute(query).mappings()
    )
    known = {name: value for name, value in row.items() if name not in ("command_id", "host_id")}
    return PullRow(**known, attempts=tried)
