"""What the rows of a rehearsal come to, and its decisions in words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

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
from fleet.rollouts.ledger import Ledger, RolloutRow, touched, way_back_id
from fleet.rollouts.rehearsed import Rehearsal, RehearsedWave


def told(ledger: Ledger, row: RolloutRow, most_away: Mapping[str, int]) -> Rehearsal:
    """Return what came of the rollout in *row*, with its way back where there is one."""
    back = ledger.rollouts.get(way_back_id(row.id))
    return Rehearsal(
        state=row.state,
        ended_at=row.ended_at,
        holds=frozenset(row.holds),
        waves=tuple(_wave(row, number) for number in range(len(row.waves))),
        counts=dict(Counter(place.state for place in row.places.values())),
        touched=tuple(sorted(ledger.machines[host_id].name for host_id in touched(row))),
        most_away=dict(most_away),
        limits={f"{cap.label}={cap.value}": cap.limit for cap in ledger.cap_facts()},
        events=tuple(_events((row, back) if back else (row,))),
    )


def _wave(row: RolloutRow, number: int) -> RehearsedWave:
    wave = row.waves[number]
    return RehearsedWave(
        number=number,
        state=wave.state,
        opened_at=wave.opened_at,
        ended_at=wave.ended_at,
        counts=dict(Counter(place.state for place in row.places.values() if place.wave == number)),
        reason=wave.reason,
    )


def _events(rows: Iterable[RolloutRow]) -> list[tuple[datetime, str]]:
    found = []
    for row in rows:
        whose = "" if row.undoes is None else "way back: "
        words = ((at, in_words(decision)) for at, _, decision in row.log)
        found += [(at, f"{whose}{said}") for at, said in words if said]
    return sorted(found, key=lambda event: event[0])


def in_words(decision: Decision) -> str:
    """Return a decision in words; empty for those of single hosts and clocks, of which there are too many."""
    match decision:
        case Dispatch() | StartClock() | StopClock():
            return ""
        case Begin():
            return "the rollout begins"
        case SetHold(hold=hold, reason=reason):
            return _with(f"held: {hold.words}", reason)
        case LiftHold(hold=hold):
            return f"no longer held: {hold.words}"
        case Forgive(failed=failed):
            return f"{failed} failures are accepted"
        case Abort(reason=reason):
            return _with("the rollout is aborted", reason)
        case RollBack(reason=reason):
            return _with("the rollout goes back", reason)
        case BeginWayBack():
            return "the way back begins"
        case Finish(state=state, reason=reason):
            return _with(f"the rollout is {state.words}", reason)
        case WithdrawPending(reason=reason):
            return _with("hosts whose turn had not come are withdrawn", reason)
        case _:
            return f"wave {decision.number + 1}{_of_wave(decision)}"


def _of_wave(
    decision: AdmitLate
    | Approve
    | EndWave
    | GiveUp
    | OpenWave
    | Park
    | Prefetch
    | Refill
    | RetryFailed
    | SkipQuarantined
    | Soak
    | StopSoak
    | Unpark,
) -> str:
    match decision:
        case OpenWave():
            return " is opened"
        case Soak():
            return " soaks"
        case StopSoak():
            return " soaks no more"
        case EndWave(state=state, reason=reason):
            return _with(f" {state.value}", reason)
        case Approve():
            return " is approved"
        case Prefetch():
            return " may pull ahead"
        case RetryFailed():
            return ": its failed hosts are tried again"
        case Park():
            return ": silent hosts are parked"
        case Unpark():
            return ": parked hosts are back"
        case GiveUp(reason=reason):
            return _with(": parked hosts are given up", reason)
        case SkipQuarantined(reason=reason):
            return _with(": hosts are skipped", reason)
        case Refill(taken_from=taken_from, hosts=hosts):
            return f" gets {hosts} hosts of wave {taken_from + 1}"
        case AdmitLate():
            return " takes hosts that came after the plan"


def _with(said: str, reason: str) -> str:
    return f"{said}: {reason}" if reason else said
