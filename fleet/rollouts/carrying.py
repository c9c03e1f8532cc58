"""How the rows of a simulated fleet follow each decision, and each thing that a host does."""

from datetime import datetime, timedelta
from uuid import UUID

from fleet.rollouts.advance import advance
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
from fleet.rollouts.dispatching import may_go_at
from fleet.rollouts.ledger import Ledger, Place, RolloutRow, touched, way_back_id
from fleet.rollouts.release import Answer, look_again
from fleet.rollouts.states import (
    BAD,
    LIVE,
    WAITING,
    CommandState,
    FailureClass,
    Hold,
    HostState,
    RolloutState,
    WaveState,
)
from fleet.rollouts.tries import backoff
from fleet.rollouts.way_back import way_back_spec

MOST_ROUNDS = 200
"""More than any rollout needs to come to rest."""


def tick(ledger: Ledger, row: RolloutRow, now: datetime) -> int:
    """Bring one rollout to where it can do nothing more now; return how many decisions that took."""
    made = 0
    for _ in range(MOST_ROUNDS):
        decisions = advance(ledger.facts(row, now), now)
        if not decisions:
            return made
        for decision in decisions:
            carry_out(ledger, row, decision, now)
            made += 1
    raise RuntimeError(f"rollout {row.id} does not come to rest")


def carry_out(ledger: Ledger, row: RolloutRow, decision: Decision, now: datetime) -> None:
    """Change the rows as *decision* says."""
    row.log.append((now, type(decision).__name__, decision))
    match decision:
        case Begin():
            row.state = RolloutState.RUNNING
        case Dispatch(host_id=host_id):
            _move(row.places[host_id], HostState.DISPATCHED, now)
            row.dispatched.append(now)
        case WithdrawPending(reason=reason, skipped=skipped):
            for place in _in(row, None, *WAITING):
                _move(place, HostState.SKIPPED if skipped else HostState.CANCELLED, now, reason)
        case SetHold(hold=hold):
            row.holds.add(hold)
        case LiftHold(hold=hold):
            row.holds.discard(hold)
            if hold in (Hold.MIRROR_OUTAGE, Hold.ENGINE_ERROR):
                row.failures.clear()
        case Forgive(failed=failed):
            row.forgiven = failed
        case Abort():
            row.state = RolloutState.ABORTING
        case RollBack():
            row.state = RolloutState.ROLLING_BACK
        case BeginWayBack():
            spec = way_back_spec(row.spec)
            undoing = ledger.plan(spec, touched(row), now, id=way_back_id(row.id), release="", undoes=row.id)
            for place in undoing.places.values():
                place.release = row.places[place.host_id].before
        case Finish(state=state):
            row.state, row.ended_at = state, now
        case Park() | Unpark() | GiveUp() | SkipQuarantined() | Refill() | AdmitLate():
            _rearrange(ledger, row, decision, now)
        case _:
            _change_wave(row, decision, now)


def _change_wave(
    row: RolloutRow,
    decision: OpenWave | Soak | StopSoak | StartClock | StopClock | EndWave | Approve | Prefetch | RetryFailed,
    now: datetime,
) -> None:
    wave = row.waves[decision.number]
    match decision:
        case OpenWave():
            wave.state, wave.opened_at, wave.ended_at = WaveState.OPEN, now, None
            wave.active_ms, wave.active_since, wave.soak_since = 0, None, None
        case Soak():
            wave.state, wave.soak_since = WaveState.SOAKING, now
        case StopSoak():
            wave.soak_since = None
        case StartClock():
            wave.active_since = now
        case StopClock(active_ms=active_ms):
            wave.active_ms, wave.active_since = active_ms, None
        case EndWave(state=state, evidence=evidence, reason=reason):
            wave.state, wave.evidence, wave.reason, wave.ended_at = state, dict(evidence), reason, now
        case Approve():
            wave.approved = True
        case Prefetch():
            wave.prefetched_at = now
        case RetryFailed():
            for place in _in(row, wave.number, *BAD):
                place.tries = 0
                _move(place, HostState.PENDING, now)


def _rearrange(
    ledger: Ledger,
    row: RolloutRow,
    decision: Park | Unpark | GiveUp | SkipQuarantined | Refill | AdmitLate,
    now: datetime,
) -> None:
    match decision:
        case Park(number=number):
            for place in _in(row, number, HostState.PENDING):
                if ledger.silent(row, place.host_id, now):
                    _move(place, HostState.PARKED, now)
                    place.parked_at = now
        case Unpark(number=number):
            for place in _in(row, number, HostState.PARKED):
                if not ledger.silent(row, place.host_id, now):
                    _move(place, HostState.PENDING, now)
        case GiveUp(number=number, reason=reason):
            for place in _in(row, number, HostState.PARKED):
                if ledger.silent(row, place.host_id, now) and _too_long_away(row, place, now):
                    _move(place, HostState.CANCELLED, now, reason)
        case SkipQuarantined(number=number, reason=reason):
            for place in _in(row, number, *WAITING):
                if ledger.machines[place.host_id].quarantined:
                    _move(place, HostState.SKIPPED, now, reason)
        case Refill(number=number, taken_from=taken_from, hosts=hosts):
            pending = sorted(_in(row, taken_from, HostState.PENDING), key=lambda place: place.position)
            for place in pending[:hosts]:
                place.wave = number
        case AdmitLate(number=number):
            _admit_late(ledger, row, number, now)


def _too_long_away(row: RolloutRow, place: Place, now: datetime) -> bool:
    """Tell whether the time in which a parked host may still come back is over."""
    away = now - place.parked_at if place.parked_at else timedelta()
    return bool(away) and away >= timedelta(milliseconds=row.spec.offline.catch_up_ms)


def _admit_late(ledger: Ledger, row: RolloutRow, number: int, now: datetime) -> None:
    late = ledger.late.pop(row.id, [])
    row.times |= {(ledger.machines[host_id].zone, ledger.windows_of(row, host_id)) for host_id in late}
    for host_id in late:
        row.places[host_id] = Place(
            host_id=host_id, wave=number, position=len(row.places), release=row.release, since=now
        )


def step(ledger: Ledger, row: RolloutRow, host_id: UUID, now: datetime) -> bool:
    """Let one live host go one step on the road, as far as the last look allows; tell whether it moved.

    What touched no container is called off where the look says so, as the centre does before every order and go.
    """
    place, machine = row.places[host_id], ledger.machines[host_id]
    next_ = _NEXT.get(place.state)
    if next_ is None:
        return False
    own = ledger.windows_of(row, host_id)
    stopped = place.state is HostState.READY and not may_go_at(
        row.spec, machine.name, machine.labels, machine.zone, now, own
    )
    answer = look_again(_COMMAND[place.state], row.state, frozenset(row.holds))
    if answer is Answer.CALL_OFF:
        _move(place, HostState.PENDING if row.state is RolloutState.RUNNING else HostState.CANCELLED, now)
        return True
    # Where the look says wait, the bytes come all the same, and the host says that it is ready: only the go waits.
    if stopped or not machine.online:
        return False
    if next_ is HostState.APPLYING:
        place.before = place.before or machine.runs
    _move(place, next_, now)
    return True


def end_try(ledger: Ledger, row: RolloutRow, host_id: UUID, now: datetime, failure: FailureClass | None) -> None:
    """End the live try of a host: well where *failure* is None; else it gets another turn, or has failed."""
    place, machine = row.places[host_id], ledger.machines[host_id]
    row.failures.append(failure)
    applied = place.state is HostState.APPLYING
    place.tries += 1
    if failure is None:
        machine.runs, machine.unhealthy = place.release, False
        _move(place, HostState.SUCCEEDED, now)
        return
    again = (
        failure in row.spec.tries.retry_on and place.tries < row.spec.tries.max and row.state is RolloutState.RUNNING
    )
    machine.unhealthy = machine.unhealthy or (applied and failure is FailureClass.RELEASE)
    if again:
        place.not_before = now + backoff(place.tries, row.spec.tries, place.host_id)
        _move(place, HostState.PENDING, now, f"{failure} failure")
    else:
        _move(place, HostState.FAILED, now, f"{failure} failure")


def regress(ledger: Ledger, row: RolloutRow, host_id: UUID, now: datetime) -> bool:
    """Let a host that succeeded stop running well; tell whether the rollout still counts that."""
    place = row.places[host_id]
    ledger.machines[host_id].unhealthy = True
    if place.state is not HostState.SUCCEEDED or row.state.ended:
        return False
    row.waves[place.wave].regressed_at = now
    _move(place, HostState.REGRESSED, now, "it does not run well any more")
    return True


def _move(place: Place, state: HostState, now: datetime, reason: str = "") -> None:
    place.state, place.since, place.reason = state, now, reason


def _in(row: RolloutRow, number: int | None, *states: HostState) -> list[Place]:
    return [p for p in row.places.values() if p.state in states and number in (None, p.wave)]


_NEXT = dict(zip(LIVE, (*LIVE[1:], None), strict=True))
_COMMAND = {
    HostState.DISPATCHED: CommandState.CLAIMED,
    HostState.PULLING: CommandState.PULLING,
    HostState.READY: CommandState.READY,
}
