"""Decisions about one rollout become rows: each is one change, with an event that says so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, select, update

from fleet.history.commands.moves import event
from fleet.history.noted.events import tell_rollout
from fleet.history.rollouts import wave_hosts
from fleet.history.rollouts.ahead import call_off_ahead
from fleet.history.rollouts.dispatch import Offered, dispatch
from fleet.history.rollouts.sending import call_off_now
from fleet.history.rollouts.undo import begin_way_back
from fleet.history.tables.facts import rollout_events
from fleet.history.tables.rollouts import rollouts, waves
from fleet.rollouts.decisions import (
    Abort,
    AdmitLate,
    Approve,
    Begin,
    BeginWayBack,
    Decision,
    Dispatch,
    EndWave,
    Finish,
    Forgive,
    GiveUp,
    LiftHold,
    OpenWave,
    Park,
    Prefetch,
    Refill,
    RetryFailed,
    RollBack,
    SetHold,
    SkipQuarantined,
    Soak,
    StartClock,
    StopClock,
    StopSoak,
    Unpark,
    WithdrawPending,
)
from fleet.rollouts.states import BAD, WAITING, Hold, HostState, RolloutState, WaveState

BY_ITSELF = "rollout"
"""Who does what no person asked for."""

_OUTAGES = (Hold.MIRROR_OUTAGE, Hold.ENGINE_ERROR)
"""Holds that are set for failures in a row, which are counted anew once it is lifted."""


def carry_out(
    connection: Connection, row: RowMapping, decisions: Sequence[Decision], now: datetime, *, by: str = BY_ITSELF
) -> tuple[Offered, ...]:
    """Carry *decisions* about the rollout in *row*, which is locked, out in their order; return whose offers are to be sent."""
    dispatched: list[UUID] = []
    for decision in decisions:
        if isinstance(decision, Dispatch):
            dispatched.append(decision.host_id)
        else:
            _Carrier(connection, row, now, by).carry(decision)
    return dispatch(connection, row, dispatched, now)


class _Carrier:
    """One decision's way into rows."""

    def __init__(self, connection: Connection, row: RowMapping, now: datetime, by: str) -> None:
        self._connection = connection
        self._row = row
        self._id: UUID = row["id"]
        self._now = now
        self._by = by

    def carry(self, decision: Decision) -> None:
        """Change the rows that *decision* is about."""
        match decision:
            case Begin() | SetHold() | LiftHold() | Forgive() | Abort() | RollBack() | BeginWayBack() | Finish():
                self._rollout(decision)
            case Dispatch():
                raise AssertionError("hosts are dispatched together")
            case Prefetch(number=number):
                self._wave(number, "prefetch", prefetched_at=self._now)
            case OpenWave() | StartClock() | StopClock() | Soak() | StopSoak() | EndWave() | Approve():
                self._of_wave(decision)
            case _:
                self._hosts(decision)

    def _rollout(self, decision: Decision) -> None:
        match decision:
            case Begin():
                self._set(state=RolloutState.RUNNING, started_at=self._now)
                self._note("began")
            case SetHold(hold=hold, reason=reason, wave=wave):
                self._set(holds=sorted({*self._holds(), hold.value}))
                self._note("held", hold=hold.value, reason=reason, wave=wave)
                call_off_now(self._connection, self._id, self._now)
            case LiftHold(hold=hold, reason=reason):
                counted = {"counted_from": self._now} if hold in _OUTAGES else {}
                self._set(holds=sorted(self._holds() - {hold.value}), **counted)
                self._note("released", hold=hold.value, reason=reason)
            case Forgive(failed=failed):
                self._set(forgiven=failed)
                self._note("forgiven", failed=failed)
            case Abort(reason=reason):
                self._wind_down(RolloutState.ABORTING, "aborted", reason)
            case RollBack(reason=reason):
                self._wind_down(RolloutState.ROLLING_BACK, "rolling back", reason)
            case BeginWayBack():
                made = begin_way_back(self._connection, self._row, self._now, by=f"rollout:{self._row['number']}")
                self._note("way back", rollout=made.hex)
            case Finish(state=state, reason=reason):
                call_off_ahead(self._connection, self._id, self._now, "the rollout is over")
                self._set(state=state, ended_at=self._now)
                self._note("ended", state=state.value, reason=reason)

    def _of_wave(self, decision: Decision) -> None:
        now = self._now
        match decision:
            case OpenWave(number=number):
                call_off_ahead(self._connection, self._id, now, "its wave is opened")
                anew: dict[str, Any] = {"active_ms": 0, "active_since": None, "soak_since": None, "ended_at": None}
                # Why it failed the last time is no more true of it.
                anew["reason"] = None
                self._wave(number, "wave opened", state=WaveState.OPEN, opened_at=now, **anew)
            case StartClock(number=number):
                self._wave(number, "", active_since=now)
            case StopClock(number=number, active_ms=active_ms):
                self._wave(number, "", active_since=None, active_ms=active_ms)
            case Soak(number=number):
                self._wave(number, "wave soaks", state=WaveState.SOAKING, soak_since=now)
            case StopSoak(number=number):
                self._wave(number, "wave soaks no more", state=WaveState.OPEN, soak_since=None)
            case Approve(number=number):
                self._wave(number, "wave approved", approved_by=self._by, approved_at=now)
            case EndWave(number=number, state=state, evidence=evidence, reason=reason):
                # Its active time is over with it.
                values = {"state": state, "ended_at": now, "active_since": None, "reason": reason}
                decided = {"decided_by": self._by} if self._by != BY_ITSELF else {}
                self._wave(number, "wave ended", evidence=dict(evidence), **values, **decided)

    def _hosts(self, decision: Decision) -> None:
        connection, id, now = self._connection, self._id, self._now
        match decision:
            case Park(number=number):
                wave_hosts.park(connection, self._row, number, now)
            case Unpark(number=number):
                wave_hosts.unpark(connection, self._row, number, now)
            case GiveUp(number=number, reason=reason):
                wave_hosts.give_up(connection, self._row, number, reason, now)
            case SkipQuarantined(number=number, reason=reason):
                wave_hosts.skip_quarantined(connection, self._row, number, reason, now)
            case Refill(number=number, taken_from=taken_from, hosts=count):
                wave_hosts.refill(connection, id, number, taken_from, count)
                self._note("wave refilled", wave=number, taken_from=taken_from, hosts=count)
            case AdmitLate(number=number):
                self._note("late hosts", wave=number, hosts=wave_hosts.admit(connection, self._row, number, now))
            case WithdrawPending(reason=reason, skipped=skipped):
                end = HostState.SKIPPED if skipped else HostState.CANCELLED
                wave_hosts.end(connection, id, WAITING, end, reason, now)
                self._note("withdrawn", reason=reason)
            case RetryFailed(number=number):
                wave_hosts.retry(connection, id, number, BAD, now)
                self._note("wave retried", wave=number, by=self._by)
                self._wave(number, "", decided_by=self._by)

    def _wind_down(self, state: RolloutState, kind: str, reason: str) -> None:
        self._set(state=state, reason=reason or self._row["reason"])
        self._note(kind, reason=reason)
        call_off_now(self._connection, self._id, self._now)

    def _holds(self) -> set[str]:
        """Return the holds as they stand now: an earlier decision may have changed them."""
        query = select(rollouts.c.holds).where(rollouts.c.id == self._id)
        return set(self._connection.execute(query).scalar_one())

    def _set(self, **values: object) -> None:
        self._connection.execute(update(rollouts).where(rollouts.c.id == self._id).values(values))

    def _wave(self, number: int, kind: str, **values: object) -> None:
        mine = (waves.c.rollout_id == self._id, waves.c.number == number)
        self._connection.execute(update(waves).where(*mine).values(values))
        if kind:
            told = {k: v for k, v in values.items() if k in ("state", "reason", "evidence") and v}
            self._note(kind, wave=number, **told)

    def _note(self, kind: str, **details: object) -> None:
        by = {"by": self._by} if self._by != BY_ITSELF else {}
        told = {key: value for key, value in details.items() if value not in ("", None)}
        row = event(kind, self._id, self._now, details={**told, **by})
        self._connection.execute(insert(rollout_events), [row])
        tell_rollout(self._connection, row)
