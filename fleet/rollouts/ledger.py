"""Rollouts over a simulated fleet, as rows in memory: facts are counted from them, decisions change them.

What SQL is to a real rollout, this is to a rehearsal. It counts anew each time and keeps no counters.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from uuid import UUID, uuid5

from fleet.rollouts.caps import Cap
from fleet.rollouts.decisions import Decision
from fleet.rollouts.facts import Candidate, CapFacts, RolloutFacts, Superseding, WaveFacts
from fleet.rollouts.silence import silence
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, WAITING, FailureClass, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.waves import PlacedHost, cut
from fleet.rollouts.windows import Window

_MINUTE = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Machine:
    """One simulated host."""

    id: UUID
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    """Those that its policy gives it."""
    online: bool = True
    heard_at: datetime | None = None
    """When it was last heard of, where it is not online; None: too long ago for any rollout."""
    unhealthy: bool = False
    """Whether what it was last brought to does not run well."""
    runs: str = "old"
    """The release that it runs."""
    quarantined: bool = False


@dataclass(slots=True, kw_only=True)
class Place:
    """One host in one rollout."""

    host_id: UUID
    wave: int
    position: int
    state: HostState = HostState.PENDING
    release: str = ""
    """What it shall run."""
    before: str = ""
    """What it ran before it was touched; empty: it was not."""
    tries: int = 0
    not_before: datetime | None = None
    parked_at: datetime | None = None
    since: datetime | None = None
    """When its state last changed."""
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class WaveRow:
    """One wave of one rollout."""

    number: int
    state: WaveState = WaveState.PENDING
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    active_ms: int = 0
    active_since: datetime | None = None
    soak_since: datetime | None = None
    regressed_at: datetime | None = None
    approved: bool = False
    prefetched_at: datetime | None = None
    """Since when its hosts may pull ahead; None: they may not."""
    evidence: dict[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class RolloutRow:
    """One rollout."""

    id: UUID
    spec: RolloutSpec
    release: str
    state: RolloutState = RolloutState.PLANNED
    created_at: datetime
    ended_at: datetime | None = None
    waves: list[WaveRow]
    places: dict[UUID, Place]
    times: frozenset[tuple[str, tuple[Window, ...]]] = frozenset()
    """The zones of its hosts, each with the windows that their policies give them; those keep no way back."""
    holds: set[Hold] = field(default_factory=set)
    forgiven: int = 0
    undoes: UUID | None = None
    """The rollout that this one is the way back of."""
    dispatched: list[datetime] = field(default_factory=list)
    failures: list[FailureClass | None] = field(default_factory=list)
    """How each try ended, since a hold for an outage was last lifted; None: well."""
    log: list[tuple[datetime, str, Decision]] = field(default_factory=list)


class Ledger:
    """Every rollout over one simulated fleet."""

    def __init__(self, machines: Iterable[Machine], caps: Sequence[Cap] = ()) -> None:
        """Take the fleet and its caps."""
        self.machines = {machine.id: machine for machine in machines}
        self.caps = tuple(caps)
        self.rollouts: dict[UUID, RolloutRow] = {}
        self.late: dict[UUID, list[UUID]] = {}
        """By rollout: hosts that came after the plan."""

    def plan(
        self,
        spec: RolloutSpec,
        hosts: Iterable[UUID],
        now: datetime,
        *,
        id: UUID,
        release: str = "new",
        undoes: UUID | None = None,
    ) -> RolloutRow:
        """Cut *hosts* into waves and keep the rollout, planned."""
        placed = [PlacedHost(host_id=m.id, name=m.name, labels=m.labels) for m in map(self.machines.__getitem__, hosts)]
        places: dict[UUID, Place] = {}
        for number, wave in enumerate(cut(spec, placed, id)):
            for host_id in wave:
                places[host_id] = Place(host_id=host_id, wave=number, position=len(places), release=release, since=now)
        waves = [WaveRow(number=number) for number in range(len(spec.waves))]
        row = RolloutRow(id=id, spec=spec, release=release, created_at=now, waves=waves, places=places, undoes=undoes)
        row.times = frozenset((self.machines[id].zone, self.windows_of(row, id)) for id in places)
        self.rollouts[id] = row
        return row

    def facts(self, row: RolloutRow, now: datetime) -> RolloutFacts:
        """Count what is known of one rollout from its rows."""
        busy = {p.host_id for other in self.rollouts.values() for p in other.places.values() if p.state in LIVE}
        touched = {wave.number for wave in row.waves if wave.state is not WaveState.PENDING}
        by_wave: dict[int, list[Place]] = defaultdict(list)
        for place in row.places.values():
            by_wave[place.wave].append(place)
        candidates = tuple(
            self._candidate(row, place, busy, now)
            for number in sorted(touched)
            for place in by_wave[number]
            if place.state is HostState.PENDING
        )
        return RolloutFacts(
            id=row.id,
            spec=row.spec,
            state=row.state,
            created_at=row.created_at,
            waves=tuple(self._wave(row, wave, by_wave[wave.number], now) for wave in row.waves),
            candidates=candidates,
            holds=frozenset(row.holds),
            caps=self.cap_facts(),
            times=row.times,
            dispatched_last_minute=sum(1 for _ in takewhile(lambda at: now - at < _MINUTE, reversed(row.dispatched))),
            forgiven=row.forgiven,
            late=len(self.late.get(row.id, ())),
            infrastructure_in_a_row=_in_a_row(row.failures, FailureClass.INFRASTRUCTURE),
            engine_in_a_row=_in_a_row(row.failures, FailureClass.ENGINE),
            superseded_by=self._superseding(row),
            is_way_back=row.undoes is not None,
            way_back=next((other.state for other in self.rollouts.values() if other.undoes == row.id), None),
            undoable=any(place.before for place in row.places.values()),
        )

    def cap_facts(self) -> tuple[CapFacts, ...]:
        """Count, for each value of each capped label, its hosts and those that are live or unhealthy."""
        away = {p.host_id for row in self.rollouts.values() for p in row.places.values() if p.state in LIVE}
        away |= {machine.id for machine in self.machines.values() if machine.unhealthy}
        found = []
        for cap in self.caps:
            labelled = [machine for machine in self.machines.values() if cap.label in machine.labels]
            all_ = Counter(machine.labels[cap.label] for machine in labelled)
            gone = Counter(machine.labels[cap.label] for machine in labelled if machine.id in away)
            found += [
                CapFacts(label=cap.label, value=value, limit=cap.limit(count), unavailable=gone[value])
                for value, count in sorted(all_.items())
            ]
        return tuple(found)

    def windows_of(self, row: RolloutRow, host_id: UUID) -> tuple[Window, ...]:
        """Return the windows of a host's own policy, as far as they bind a rollout: none binds a way back."""
        return () if row.undoes is not None else self.machines[host_id].windows

    def silent(self, row: RolloutRow, host_id: UUID, now: datetime) -> bool:
        """Tell whether nothing was heard of a host for as long as the rollout waits for its word."""
        machine = self.machines[host_id]
        return not machine.online and (machine.heard_at is None or now - machine.heard_at >= silence(row.spec))

    def _candidate(self, row: RolloutRow, place: Place, busy: set[UUID], now: datetime) -> Candidate:
        machine = self.machines[place.host_id]
        return Candidate(
            host_id=place.host_id,
            wave=place.wave,
            position=place.position,
            reachable=not self.silent(row, place.host_id, now),
            busy=place.host_id in busy,
            unavailable=machine.unhealthy,
            name=machine.name,
            labels=machine.labels,
            zone=machine.zone,
            windows=self.windows_of(row, place.host_id),
            not_before=place.not_before,
        )

    def _wave(self, row: RolloutRow, wave: WaveRow, mine: Sequence[Place], now: datetime) -> WaveFacts:
        waiting = [place for place in mine if place.state in WAITING]
        silent = {place.host_id for place in waiting if self.silent(row, place.host_id, now)}
        parked = [place for place in waiting if place.state is HostState.PARKED]
        too_long = now - timedelta(milliseconds=row.spec.offline.catch_up_ms)
        quarantine = row.spec.quarantine_after is not None
        return WaveFacts(
            number=wave.number,
            state=wave.state,
            counts=Counter(place.state for place in mine),
            opened_at=wave.opened_at,
            active_ms=wave.active_ms,
            active_since=wave.active_since,
            soak_since=wave.soak_since,
            regressed_at=wave.regressed_at,
            approved=wave.approved,
            prefetched=wave.prefetched_at is not None,
            silent=sum(p.state is HostState.PENDING and p.host_id in silent for p in waiting),
            returned=sum(p.host_id not in silent for p in parked),
            overdue=sum(p.host_id in silent and p.parked_at is not None and p.parked_at <= too_long for p in parked),
            quarantined=sum(quarantine and self.machines[p.host_id].quarantined for p in waiting),
        )

    def _superseding(self, row: RolloutRow) -> Superseding | None:
        newer = [
            other
            for other in self.rollouts.values()
            if other.created_at > row.created_at
            and other.undoes is None
            and row.undoes is None
            and (not other.state.ended or touched(other))
            and other.places.keys() & row.places.keys()
        ]
        if not newer:
            return None
        last = max(newer, key=lambda each: each.created_at)
        return Superseding(id=last.id, begun=last.state is not RolloutState.PLANNED)


def way_back_id(rollout_id: UUID) -> UUID:
    """Return the id of the way back of a rollout: the same each time, so that a rehearsal can be repeated."""
    return uuid5(rollout_id, "way back")


def touched(row: RolloutRow) -> list[UUID]:
    """Return the hosts of which a rollout has stopped a container; one whose pull failed is not among them."""
    return [place.host_id for place in row.places.values() if place.before]


def _in_a_row(failures: Sequence[FailureClass | None], wanted: FailureClass) -> int:
    count = 0
    for each in reversed(failures):
        if each is not wanted:
            break
        count += 1
    return count
