"""What windows and freezes mean at this moment for the hosts of a rollout whose turn is still to come, for people."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from fleet.controller.spec_warnings import own_windows, planned_on
from fleet.history.questions.rollout_queries import RolloutDetail, RolloutHostRow
from fleet.history.sql.database import Database
from fleet.rollouts.dispatching import times_of
from fleet.rollouts.naming import named
from fleet.rollouts.states import WAITING, HostState
from fleet.rollouts.warnings import NextTimes, PlannedOn


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsTold:
    """What people are told of the windows that a rollout's hosts wait for."""

    words: str = ""
    """When the next window opens, and who missed some; empty: no host waits for one, and none missed any."""
    missed: dict[UUID, int] = field(default_factory=dict)
    """By host: how many windows were open, and are over, since its wave was opened."""


def windows_told(db: Database, detail: RolloutDetail) -> WindowsTold:
    """Return what windows mean for the hosts of a rollout that wait for their turn, or for the go."""
    if detail.rollout.ended_at is not None:
        return WindowsTold()
    opened = {wave.number: wave.opened_at for wave in detail.waves if wave.opened_at is not None}
    waiting = [h for h in detail.hosts if h.state in (*WAITING, HostState.READY) and (h.wave in opened or not opened)]
    # Every host of the fleet is read only where something keeps one of them to certain times.
    if not waiting or not (times_of(detail.rollout.spec).bind() or own_windows(db)):
        return WindowsTold()
    now = db.now()
    next_, known = NextTimes(detail.rollout.spec, now), planned_on(db)
    back = detail.rollout.way_back_of is not None
    bound = [(h, _of(known[h.host_id], back)) for h in waiting if h.host_id in known]
    bound = [(host, planned) for host, planned in bound if next_.binds(planned)]
    missed = {h.host_id: next_.missed(planned, opened[h.wave]) for h, planned in bound if h.wave in opened}
    missed = {id: count for id, count in missed.items() if count}
    later = [(host, at) for host, planned in bound if (at := next_.of(planned)) is None or at > now]
    told = [_shut(later, len(waiting)), _missed(bound, missed)]
    return WindowsTold(words="; ".join(part for part in told if part), missed=missed)


def _of(planned: PlannedOn, back: bool) -> PlannedOn:
    """Return a host as its rollout is bound by it: the windows of its policy keep no way back."""
    return replace(planned, windows=()) if back else planned


def _shut(later: list[tuple[RolloutHostRow, datetime | None]], waiting: int) -> str:
    if not later:
        return ""
    times = [at for _, at in later if at is not None]
    when = f"the next is at {min(times).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if times else "none opens within 14 days"
    if len(later) == waiting:
        return f"no window is open to any host that waits: {when}"
    return f"no window is open to {named(sorted(host.host for host, _ in later))}: {when}"


def _missed(bound: list[tuple[RolloutHostRow, PlannedOn]], missed: dict[UUID, int]) -> str:
    names = sorted(host.host for host, _ in bound if host.host_id in missed)
    if not names:
        return ""
    most = max(missed.values())
    return f"{named(names)} missed {most if most == min(missed.values()) else f'up to {most}'} window{'s'[: most != 1]}"
