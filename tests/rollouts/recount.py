"""The invariants of the page, recounted from raw rows, never from what the engine counted. Numbers are the page's."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fleet.rollouts.decisions import Begin, Decision, Dispatch, EndWave, Finish, OpenWave, RollBack
from fleet.rollouts.ledger import Ledger, RolloutRow
from fleet.rollouts.states import RolloutState, WaveState

LIVE = ("dispatched", "pulling", "ready", "applying")
BAD = ("failed", "regressed")
GONE = ("skipped", "cancelled")


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"invariant {number}: {why}")
        self.number = number


def hold(truth: bool, number: int, why: str) -> None:
    """Raise Broken where it is not the truth."""
    if not truth:
        raise Broken(number, why)


@dataclass(slots=True)
class Witness:
    """What the test itself saw happen, besides the rows."""

    ran: set[tuple[UUID, UUID]] = field(default_factory=set)
    """Rollout and host: its try ended well."""
    regressed: dict[tuple[UUID, int], datetime] = field(default_factory=dict)
    """Rollout and wave: when a host of it last regressed."""
    ended: dict[UUID, Any] = field(default_factory=dict)
    """What the rows of a rollout were when it ended."""
    planned: dict[UUID, set[UUID]] = field(default_factory=dict)
    accepted: dict[UUID, int] = field(default_factory=dict)
    """Failures that a person accepted."""


def states(row: RolloutRow, wave: int | None = None) -> list[str]:
    """Return the states of all hosts, or of those of one wave."""
    return [place.state.value for place in row.places.values() if wave in (None, place.wave)]


def before(ledger: Ledger, row: RolloutRow, decision: Decision, now: datetime, seen: Witness) -> None:
    """Judge a decision by the rows as they are before it is carried out."""
    hold(not row.state.ended, 9, "a terminal rollout decides something")
    match decision:
        case Begin() | OpenWave():
            hold(not row.holds, 7, f"{decision} while held by {row.holds}")
        case Dispatch(host_id=host_id):
            _dispatch(ledger, row, host_id, seen)
        case EndWave(number=number, state=WaveState.PASSED):
            _passed(row, number, decision, now, seen)
        case Finish():
            live = [state for state in states(row) if state in LIVE]
            hold(not live, 9, f"the rollout ends with {live} live")
            waiting = [state for state in states(row) if state in ("pending", "parked")]
            hold(not waiting, 14, "the rollout ends, and hosts still wait")
        case RollBack():
            hold(row.undoes is None, 18, "a way back is rolled back")


def _dispatch(ledger: Ledger, row: RolloutRow, host_id: UUID, seen: Witness) -> None:
    place = row.places[host_id]
    hold(row.state is RolloutState.RUNNING and not row.holds, 7, f"a dispatch while {row.state}, held by {row.holds}")
    hold(place.state == "pending", 14, f"a host that is {place.state} is dispatched")
    hold(ledger.machines[host_id].online, 16, "a silent host is dispatched")
    for wave in row.waves[: place.wave]:
        ungated = row.spec.waves[wave.number].gate is None and wave.state == "failed"
        hold(
            wave.state in ("passed", "waived") or ungated,
            3,
            f"wave {place.wave} goes, and {wave.number} is {wave.state}",
        )
    others = [
        r for r in ledger.rollouts.values() for p in r.places.values() if p.host_id == host_id and p.state in LIVE
    ]
    hold(not others, 1, "a host with a live try is dispatched")
    failed = sum(state in BAD for state in states(row))
    if row.spec.budget is not None:
        size = row.spec.budget.max_failed_total
        most = size if isinstance(size, int) else max(1, int(str(size).rstrip("%")) * len(row.places) // 100)
        hold(failed <= max(most, seen.accepted.get(row.id, 0)), 6, f"a dispatch with {failed} failed of {most} allowed")
    if not ledger.machines[host_id].unhealthy:
        _caps(ledger, host_id)


def _caps(ledger: Ledger, host_id: UUID) -> None:
    away = {p.host_id for r in ledger.rollouts.values() for p in r.places.values() if p.state in LIVE}
    away |= {m.id for m in ledger.machines.values() if m.unhealthy} | {host_id}
    for cap in ledger.caps:
        value = ledger.machines[host_id].labels[cap.label]
        there = {m.id for m in ledger.machines.values() if m.labels[cap.label] == value}
        limit = cap.max_unavailable
        most = limit if isinstance(limit, int) else int(limit.rstrip("%")) * len(there) // 100
        hold(len(away & there) <= most, 5, f"{len(away & there)} of {cap.label}={value} are away, and {most} may be")


def _passed(row: RolloutRow, number: int, decision: EndWave, now: datetime, seen: Witness) -> None:
    spec = row.spec.waves[number]
    all_ = states(row, number)
    succeeded = all_.count("succeeded")
    failed = sum(state in BAD for state in all_)
    counted = sum(state not in GONE for state in all_)
    if spec.gate is None:
        hold(all(state in ("succeeded", "skipped") for state in all_), 4, f"an ungated wave passed with {all_}")
        return
    hold(succeeded * 100 >= spec.gate.success_pct * counted, 4, f"passed with {succeeded} of {counted}")
    hold(succeeded >= spec.gate.min_successes, 4, f"passed with {succeeded} successes")
    hold(failed * 100 <= spec.gate.tolerance_pct * counted, 4, f"passed with {failed} of {counted} failed")
    hold(not any(state in LIVE for state in all_), 4, "passed with a host in flight")
    if spec.soak_ms:
        since = row.waves[number].soak_since
        hold(since is not None and now - since >= timedelta(milliseconds=spec.soak_ms), 4, "passed before its soak")
        regressed = seen.regressed.get((row.id, number))
        hold(regressed is None or since is None or regressed <= since, 4, "passed, and a host regressed in its soak")
    told = dict(decision.evidence)
    hold(told.get("succeeded") == succeeded and told.get("failed") == failed, 4, "passed, and its evidence is another")


def go(ledger: Ledger, row: RolloutRow, host_id: UUID, now: datetime) -> None:
    """Judge a go: the first container is about to be stopped."""
    hold(row.state is RolloutState.RUNNING and not row.holds, 7, f"a go while {row.state}, held by {row.holds}")
    apply = timedelta(milliseconds=row.spec.tries.apply_timeout_ms)
    for freeze in row.spec.freezes:
        hold(now >= freeze.ends_at or now + apply <= freeze.begins_at, 8, "a go in, or into, a freeze")
    if row.spec.windows:
        hold(any(_within(window, now, apply) for window in row.spec.windows), 8, f"a go at {now}, outside of windows")


def _within(window: Any, now: datetime, apply: timedelta) -> bool:
    """Tell whether a go at *now* is over within a daily window in UTC; counted by hand."""
    hour, minute = map(int, window.start.split(":"))
    length = timedelta(milliseconds=window.duration_ms)
    for days in range(-2, 1):
        begin = now.replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(days=days)
        cutoff = apply if window.cutoff_ms is None else timedelta(milliseconds=window.cutoff_ms)
        if begin <= now < begin + length and now + cutoff <= begin + length:
            return True
    return False


def rows(ledger: Ledger, seen: Witness) -> None:
    """Judge the rows as they stand."""
    live: set[UUID] = set()
    for row in ledger.rollouts.values():
        for place in row.places.values():
            if place.state.value in LIVE:
                hold(place.host_id not in live, 1, "two live tries on one host")
                live.add(place.host_id)
            if place.state == "succeeded":
                hold((row.id, place.host_id) in seen.ran, 16, f"{place.host_id} succeeded, and never ran it")
        hold(set(row.places) == seen.planned[row.id], 14, "a planned host is lost, or one came from nowhere")
        hold(all(0 <= p.wave < len(row.waves) for p in row.places.values()), 14, "a host is in no wave")
        if row.state.ended:
            now_ = snapshot(row)
            hold(seen.ended.setdefault(row.id, now_) == now_, 9, "a terminal rollout changed")
            hold(not any(state in LIVE for state in states(row)), 9, "a terminal rollout has something live")


def rested(ledger: Ledger, row: RolloutRow, now: datetime) -> None:
    """Judge a rollout that a tick has brought to rest: a wave that is not enough at its deadline waits for a person.

    Only where nothing else decides: it is the only rollout, of no window or freeze, and not over.
    """
    spec = row.spec
    alone = len(ledger.rollouts) == 1 and not spec.windows and not spec.freezes
    if not alone or row.state is not RolloutState.RUNNING or row.holds:
        return
    if now >= row.created_at + timedelta(milliseconds=spec.expires_ms):
        return
    for wave in row.waves:
        gate, deadline = spec.waves[wave.number].gate, spec.waves[wave.number].deadline_ms
        if wave.state is WaveState.OPEN and wave.active_since is not None and gate is not None and deadline is not None:
            all_ = states(row, wave.number)
            succeeded, counted = all_.count("succeeded"), sum(state not in GONE for state in all_)
            enough = succeeded * 100 >= gate.success_pct * counted and succeeded >= gate.min_successes
            active = timedelta(milliseconds=wave.active_ms) + (now - wave.active_since)
            hold(enough or active < timedelta(milliseconds=deadline), 15, f"wave {wave.number} outlives its deadline")


def snapshot(row: RolloutRow) -> Any:
    """Return all that may not change any more once a rollout has ended."""
    return row.state, states(row), [wave.state for wave in row.waves], len(row.log)
