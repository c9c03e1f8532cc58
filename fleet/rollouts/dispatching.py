"""Whose turn it is now: within parallelism, rate, caps, and windows."""

from collections import Counter
from datetime import datetime, timedelta

from fleet.rollouts.budget import over_budget
from fleet.rollouts.caps import Room
from fleet.rollouts.decisions import Dispatch
from fleet.rollouts.facts import Candidate, RolloutFacts
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, WaveState
from fleet.rollouts.windows import Times, Window


def dispatches(facts: RolloutFacts, now: datetime) -> tuple[Dispatch, ...]:
    """Return the hosts that go now, by wave and place. Those that earlier waves left behind go on while later ones are open."""
    if facts.holds or over_budget(facts):
        return ()
    free = facts.spec.max_parallel - facts.count(*LIVE)
    free = min(free, facts.spec.rate_per_minute - facts.dispatched_last_minute)
    touchable = {wave.number for wave in facts.waves if _touchable(wave.state)}
    live = Counter({wave.number: wave.count(*LIVE) for wave in facts.waves})
    room = Room(facts.caps)
    times = times_of(facts.spec)
    chosen: list[Dispatch] = []
    for each in sorted(facts.candidates, key=lambda c: (c.wave, c.position)):
        if len(chosen) >= free:
            break
        if each.wave not in touchable or live[each.wave] >= facts.spec.parallel_of(each.wave):
            continue
        if _may_go(each, facts.spec, times, now) and room.take(each):
            live[each.wave] += 1
            chosen.append(Dispatch(host_id=each.host_id))
    return tuple(chosen)


def times_of(spec: RolloutSpec) -> Times:
    """Return when the hosts of a rollout may be recreated, as far as the rollout itself says."""
    return Times(windows=spec.windows, freezes=spec.freezes, apply_ms=spec.tries.apply_timeout_ms)


def may_go_at(
    spec: RolloutSpec, name: str, labels: dict[str, str], zone: str, now: datetime, own: tuple[Window, ...] = ()
) -> bool:
    """Tell whether windows and freezes of the rollout, and windows of the host's *own* policy, let a recreate begin now:
    asked before every go.
    """
    return times_of(spec).for_host(name, labels, own).admits(now, zone)


def _touchable(state: WaveState) -> bool:
    return state in (WaveState.OPEN, WaveState.SOAKING) or state.cleared


def _may_go(candidate: Candidate, spec: RolloutSpec, times: Times, now: datetime) -> bool:
    waited = candidate.not_before is None or now >= candidate.not_before
    if not candidate.reachable or candidate.busy or candidate.stopped or not waited:
        return False
    if not times.bind() and not candidate.windows:
        return True
    mine = times.for_host(candidate.name, dict(candidate.labels), candidate.windows)
    return mine.next_admissible(now, ahead_of(spec, now), candidate.zone) is not None


def ahead_of(spec: RolloutSpec, now: datetime) -> datetime:
    """Return by when a recreate must be able to begin on a host that is dispatched at *now*.

    The pull may begin before a window does, but not so long before that its time runs out on the wait for the go.
    """
    return now + timedelta(milliseconds=spec.tries.pull_timeout_ms)
