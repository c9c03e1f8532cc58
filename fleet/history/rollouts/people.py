"""What people do to rollouts: each asks what follows, carries it out at once, and stands in the audit."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, select

from fleet.errors import Refused
from fleet.history.commands.moves import event
from fleet.history.noted import audit
from fleet.history.rollouts.advancing import one_at_a_time
from fleet.history.rollouts.carrying import carry_out
from fleet.history.rollouts.facts import facts_of
from fleet.history.rollouts.undo import begin_way_back, is_whole
from fleet.history.rollouts.undone import left
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.tables.facts import rollout_events
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollouts as table
from fleet.rollouts import actions
from fleet.rollouts.decisions import Decision
from fleet.rollouts.facts import RolloutFacts
from fleet.rollouts.judging import current
from fleet.rollouts.states import Hold, RolloutState, WaveState

_LIFTED_BY_HAND = (Hold.USER, Hold.BUDGET, Hold.MIRROR_OUTAGE, Hold.ENGINE_ERROR)
"""The holds that a resume may name; the others have answers of their own."""

Decide = Callable[[RolloutFacts, datetime], tuple[Decision, ...]]


def hold_rollout(db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "") -> None:
    """Pause a rollout: nothing new is sent, and what touched no container yet is called off; raises NotFound, Refused."""
    _act(db, rollout_id, "held", lambda facts, now: actions.pause(facts, now, reason), by=by, door=door, reason=reason)


def release_rollout(
    db: Database, rollout_id: UUID, *, by: str, door: str, hold: Hold = Hold.USER, reason: str = ""
) -> None:
    """Take away one hold, a person's by default, and no other; raises NotFound, Refused.

    A rollout that no person holds is left as it is.
    """

    def decide(facts: RolloutFacts, _now: datetime) -> tuple[Decision, ...]:
        if facts.state.ended or hold is not Hold.USER or hold in facts.holds:
            return actions.lift(facts, hold, reason)
        others = sorted(set(_LIFTED_BY_HAND) & facts.holds)
        if others:
            raise Refused(f"cannot resume the rollout: no person holds it; lift {others[0]} with --hold {others[0]}")
        return actions.lift(facts, sorted(facts.holds)[0]) if facts.holds else ()

    _act(db, rollout_id, "released", decide, by=by, door=door, reason=reason)


def abort_rollout(db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "") -> None:
    """Stop a rollout for good: what touches containers already may end; raises NotFound, Refused."""
    _act(db, rollout_id, "aborted", lambda facts, _: actions.abort(facts, reason), by=by, door=door, reason=reason)


def approve_wave(db: Database, rollout_id: UUID, number: int | None = None, *, by: str, door: str) -> None:
    """Approve a wave, by default the next one that asks for approval; raises NotFound, Refused."""

    def decide(facts: RolloutFacts, _now: datetime) -> tuple[Decision, ...]:
        return actions.approve(facts, _to_approve(facts) if number is None else number)

    _act(db, rollout_id, "approved", decide, by=by, door=door)


def waive_wave(
    db: Database, rollout_id: UUID, number: int | None = None, *, by: str, door: str, reason: str = ""
) -> None:
    """Let the rollout go on although a wave's gate was not met; raises NotFound, Refused."""

    def decide(facts: RolloutFacts, _now: datetime) -> tuple[Decision, ...]:
        return actions.waive(facts, _stuck(facts) if number is None else number, reason)

    _act(db, rollout_id, "waived", decide, by=by, door=door, reason=reason)


def retry_wave(db: Database, rollout_id: UUID, number: int | None = None, *, by: str, door: str) -> None:
    """Try the failed hosts of a wave again; raises NotFound, Refused."""

    def decide(facts: RolloutFacts, _now: datetime) -> tuple[Decision, ...]:
        return actions.retry(facts, _stuck(facts) if number is None else number)

    _act(db, rollout_id, "retried", decide, by=by, door=door)


def undo_rollout(
    db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "", only: Collection[UUID] | None = None
) -> UUID | None:
    """Bring back what a rollout updated, by a rollout of its own; on *only* those hosts, if given.

    Return that one's id where it is made now, None where the rollout first lets end what is live. Raise NotFound, and
    Refused where there is nothing to bring back, or nothing any more. What the first way back did not bring back, or
    was heard of only later, another one does.
    """
    with db.writing() as connection:
        row, now = locked(connection, rollout_id, db)
        if not row["state"].ended:
            if only is not None:
                stops = f"fleet rollout abort {row['number']}"
                raise Refused(
                    f"cannot undo some hosts of rollout #{row['number']}, which goes on; stop it before: {stops}"
                )
            decisions = actions.roll_back(facts_of(connection, row, now), reason)
            carry_out(connection, row, decisions, now, by=by)
            _note(connection, row, now, "undone", by, door, reason)
            return None
        if row["way_back_of"] is not None:
            raise Refused("cannot undo a rollout that is itself a way back; make a new plan with: fleet plan")
        _check_undoable(connection, row, only)
        made = begin_way_back(connection, row, now, by=by, reason=reason, only=only)
        _note(connection, row, now, "undone", by, door, reason)
        return made


def not_brought_back(db: Database, rollout_id: UUID) -> list[str]:
    """Return the names of the hosts that a way back of this rollout should have brought back, and did not; by its order.

    Empty where nobody wanted it back, or a way back is under way.
    """
    with db.reading() as connection:
        ways = select(table.c.ended_at, table.c.spec).where(table.c.way_back_of == rollout_id)
        made = connection.execute(ways).all()
        if any(way.ended_at is None for way in made):
            return []
        if not (any(is_whole(way.spec) for way in made) or _rolled_back(connection, rollout_id)):
            return []
        found = left(connection, rollout_id)
        known = connection.execute(select(hosts.c.id, hosts.c.name).where(among(connection, hosts.c.id, found)))
        names = {row.id: row.name for row in known}
    return [names[id] for id in found]


def _rolled_back(connection: Connection, rollout_id: UUID) -> bool:
    """Tell whether a rollout went back, also where nothing of it was known then that had to be brought back."""
    state = connection.execute(select(table.c.state).where(table.c.id == rollout_id)).scalar()
    return state is RolloutState.ROLLED_BACK


def _check_undoable(connection: Connection, row: RowMapping, only: Collection[UUID] | None) -> None:
    """Raise Refused where a way back is under way, or there is nothing that one could bring back, *only* there if given."""
    ways = select(table.c.number, table.c.state).where(table.c.way_back_of == row["id"]).order_by(table.c.id.desc())
    last = connection.execute(ways.limit(1)).one_or_none()
    if last is not None and not last.state.ended:
        raise Refused(f"cannot undo rollout #{row['number']}: rollout #{last.number} does so already")
    if left(connection, row["id"], only):
        return
    if only is not None:
        raise Refused(f"cannot undo rollout #{row['number']} there: it updated nothing there that can be brought back")
    if last is not None and last.state is not RolloutState.ABORTED:
        raise Refused(f"cannot undo rollout #{row['number']}: rollout #{last.number} has done so already")
    raise Refused(f"cannot undo rollout #{row['number']}: it updated nothing that can be brought back")


def _to_approve(facts: RolloutFacts) -> int:
    """Return the first pending wave that asks for approval, and has none."""
    for wave in facts.waves:
        if wave.state is WaveState.PENDING and facts.spec.waves[wave.number].approval and not wave.approved:
            return wave.number
    raise Refused("cannot approve a wave of this rollout: none waits for approval")


def _stuck(facts: RolloutFacts) -> int:
    wave = current(facts)
    if wave is None:
        raise Refused("cannot do that: no wave of this rollout failed or is inconclusive")
    return wave.number


def _act(db: Database, rollout_id: UUID, kind: str, decide: Decide, *, by: str, door: str, reason: str = "") -> None:
    with db.writing() as connection:
        row, now = locked(connection, rollout_id, db)
        act(connection, row, now, kind, decide, by=by, door=door, reason=reason)


def act(
    connection: Connection,
    row: RowMapping,
    now: datetime,
    kind: str,
    decide: Decide,
    *,
    by: str,
    door: str,
    reason: str = "",
    noted: Mapping[str, str] | None = None,
) -> None:
    """Do to a rollout, which is locked, what *decide* says, in the transaction of the caller; raise Refused.

    *noted* is what the audit tells besides.
    """
    if row["state"].ended:
        raise Refused(f"cannot change rollout #{row['number']}: it is {row['state'].words}")
    carry_out(connection, row, decide(facts_of(connection, row, now), now), now, by=by)
    _note(connection, row, now, kind, by, door, reason, noted)


def locked(connection: Connection, rollout_id: UUID, db: Database) -> tuple[RowMapping, datetime]:
    """Return the rollout, locked, and the time; raises NotFound."""
    one_at_a_time(connection)
    row = find(connection, table, rollout_id, what="rollout", lock=True)
    return row, db.moment(connection)


def _note(
    connection: Connection,
    row: RowMapping,
    now: datetime,
    kind: str,
    by: str,
    door: str,
    reason: str,
    noted: Mapping[str, str] | None = None,
) -> None:
    details = {"by": by, **({"reason": reason} if reason else {}), **(noted or {})}
    connection.execute(insert(rollout_events), [event(f"person {kind}", row["id"], now, details=details)])
    number = f"#{row['number']}"
    audit.note(connection, now, by=by, door=door, action=f"rollout {kind}", subject=number, details=details)
