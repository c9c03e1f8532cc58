"""A rehearsal: the same ``advance`` over a simulated fleet with chosen faults; values in, values out, nothing touched.

It tells when a rollout would end, what would hold it, how full each cap became, and how many hosts a bad image reached.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from fleet.rollouts import actions
from fleet.rollouts.caps import Cap
from fleet.rollouts.carrying import carry_out, end_try, regress, step, tick
from fleet.rollouts.judging import current
from fleet.rollouts.ledger import Ledger, Machine, RolloutRow, way_back_id
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import FailureClass, Hold, HostState, RolloutState, WaveState

IDLE = timedelta(minutes=5)
"""How far time goes on where nothing is under way; what waits (a soak, a window) is late by this at most."""

TICK = timedelta(seconds=15)
"""How long a host waits for the centre's next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """How one host behaves."""

    id: UUID
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    pull_ms: int = 30_000
    apply_ms: int = 10_000
    away: tuple[tuple[datetime, datetime], ...] = ()
    """When it is silent: from, to the first instant after."""
    fails: FailureClass | None = None
    """How each try of it ends; None: well."""
    regresses_after_ms: int | None = None
    """How long after it succeeded it stops running well; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong besides what the hosts do by themselves."""

    bad_image: bool = False
    """The new version starts on no host."""
    outage: tuple[datetime, datetime] | None = None
    """When no pull succeeds."""
    approve_after: timedelta | None = None
    """How long a person takes to approve a wave; None: nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedWave:
    """One wave, as it went."""

    number: int
    state: WaveState
    opened_at: datetime | None
    ended_at: datetime | None
    counts: dict[HostState, int]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came of it."""

    state: RolloutState
    """Where the rollout stood at last."""
    ended_at: datetime | None
    """When it was over; None: it waits for a person, or the rehearsal was not long enough."""
    holds: frozenset[Hold]
    """What it waits for."""
    waves: tuple[RehearsedWave, ...]
    counts: dict[HostState, int]
    touched: int
    """On how many hosts a container was stopped for it."""
    most_away: dict[str, int]
    """By ``label=value`` of each cap: the most hosts that were live or unhealthy at once."""
    limits: dict[str, int]
    """By ``label=value``: how many may be."""
    events: tuple[tuple[datetime, str], ...]
    """What was decided, but for dispatches, in order."""


@dataclass(order=True, slots=True)
class _Due:
    at: datetime
    order: int
    rollout: UUID = field(compare=False)
    host: UUID = field(compare=False)
    entered: datetime | None = field(compare=False)
    """When the host entered the state that this is about; another one means that it was called off meanwhile."""


def rehearse(
    spec: RolloutSpec,
    hosts: Sequence[Rehearsed],
    begin: datetime,
    *,
    seed: UUID,
    caps: Sequence[Cap] = (),
    faults: Faults | None = None,
    longest: timedelta = timedelta(days=31),
) -> Rehearsal:
    """Run a rollout of *hosts* from *begin* until it is over, waits for a person, or *longest* has passed."""
    return _Stage(spec, hosts, begin, seed, caps, faults or Faults()).run(begin + longest)


class _Stage:
    def __init__(
        self,
        spec: RolloutSpec,
        hosts: Sequence[Rehearsed],
        begin: datetime,
        seed: UUID,
        caps: Sequence[Cap],
        faults: Faults,
    ) -> None:
        self._hosts = {host.id: host for host in hosts}
        self._faults = faults
        self._now = begin
        machines = (Machine(id=h.id, name=h.name, labels=h.labels, zone=h.zone) for h in hosts)
        self._ledger = Ledger(machines, caps)
        self._row = self._ledger.plan(spec, self._hosts, begin, id=seed)
        self._due: list[_Due] = []
        self._known: set[tuple[UUID, UUID, datetime | None]] = set()
        self._order = 0
        self._most: Counter[str] = Counter()
        self._asked: dict[int, datetime] = {}

    def run(self, until: datetime) -> Rehearsal:
        while self._now < until:
            self._weather()
            self._answer()
            for row in list(self._ledger.rollouts.values()):
                if not row.state.ended:
                    tick(self._ledger, row, self._now)
            self._watch_caps()
            if self._over() or self._stuck():
                break
            self._plan_steps()
            self._go_on(until)
        return self._told()

    def _over(self) -> bool:
        return all(row.state.ended for row in self._ledger.rollouts.values()) and not self._due

    def _stuck(self) -> bool:
        """Tell whether nothing goes on until a person says so, and no host is under way."""
        waits = self._row.holds - ({Hold.APPROVAL} if self._faults.approve_after is not None else set())
        return bool(waits) and self._row.state is RolloutState.RUNNING and not self._due

    def _weather(self) -> None:
        for id, host in self._hosts.items():
            self._ledger.machines[id].online = not any(begin <= self._now < end for begin, end in host.away)

    def _answer(self) -> None:
        after = self._faults.approve_after
        if after is None or Hold.APPROVAL not in self._row.holds:
            return
        facts = self._ledger.facts(self._row, self._now)
        wave = current(facts)
        if wave is not None and self._now >= self._asked.setdefault(wave.number, self._now) + after:
            for decision in actions.approve(facts, wave.number):
                carry_out(self._ledger, self._row, decision, self._now)

    def _plan_steps(self) -> None:
        for row in self._ledger.rollouts.values():
            for place in row.places.values():
                key = (row.id, place.host_id, place.since)
                if place.state.live and key not in self._known:
                    self._known.add(key)
                    self._later(row, place.host_id, place.since, self._length(place.host_id, place.state))

    def _later(self, row: RolloutRow, host: UUID, entered: datetime | None, after: timedelta) -> None:
        self._order += 1
        heapq.heappush(self._due, _Due(self._now + after, self._order, row.id, host, entered))

    def _length(self, host_id: UUID, state: HostState) -> timedelta:
        host = self._hosts[host_id]
        if state is HostState.PULLING:
            return timedelta(milliseconds=host.pull_ms)
        return timedelta(milliseconds=host.apply_ms) if state is HostState.APPLYING else TICK

    def _go_on(self, until: datetime) -> None:
        """Let time pass to the next thing that a host does, and do all that is due by then."""
        self._now = min([self._now + IDLE, until, *(due.at for due in self._due[:1])])
        while self._due and self._due[0].at <= self._now:
            self._do(heapq.heappop(self._due))

    def _do(self, due: _Due) -> None:
        row = self._ledger.rollouts[due.rollout]
        place, host = row.places[due.host], self._hosts[due.host]
        if place.since != due.entered:
            return
        if place.state is HostState.SUCCEEDED:
            regress(self._ledger, row, due.host, self._now)
            return
        ends = place.state is HostState.APPLYING or (place.state is HostState.PULLING and self._dry())
        if ends and self._ledger.machines[due.host].online:
            failure = self._failure(row, host, place.state)
            end_try(self._ledger, row, due.host, self._now, failure)
            if failure is None and host.regresses_after_ms is not None and row is self._row:
                self._later(row, due.host, place.since, timedelta(milliseconds=host.regresses_after_ms))
            return
        if not self._gave_up(row, due) and not step(self._ledger, row, due.host, self._now):
            self._later(row, due.host, due.entered, TICK)

    def _gave_up(self, row: RolloutRow, due: _Due) -> bool:
        """End the try of a host that has been in one state for longer than it may."""
        place, tries = row.places[due.host], row.spec.tries
        ttl = {
            HostState.DISPATCHED: tries.dispatch_ttl_ms,
            HostState.PULLING: tries.pull_timeout_ms,
            HostState.READY: tries.pull_timeout_ms,
            HostState.APPLYING: tries.apply_timeout_ms,
        }[place.state]
        if due.entered is None or self._now - due.entered < timedelta(milliseconds=ttl):
            return False
        end_try(self._ledger, row, due.host, self._now, FailureClass.TIMEOUT)
        return True

    def _dry(self) -> bool:
        outage = self._faults.outage
        return outage is not None and outage[0] <= self._now < outage[1]

    def _failure(self, row: RolloutRow, host: Rehearsed, state: HostState) -> FailureClass | None:
        if state is HostState.PULLING:
            return FailureClass.INFRASTRUCTURE
        # What a host ran before, it runs again: the way back meets no fault of the new version.
        if row.undoes is not None:
            return None
        return FailureClass.RELEASE if self._faults.bad_image else host.fails

    def _watch_caps(self) -> None:
        for cap in self._ledger.cap_facts():
            name = f"{cap.label}={cap.value}"
            self._most[name] = max(self._most[name], cap.unavailable)

    def _told(self) -> Rehearsal:
        row = self._row
        states = Counter(place.state for place in row.places.values())
        waves = tuple(
            RehearsedWave(
                number=wave.number,
                state=wave.state,
                opened_at=wave.opened_at,
                ended_at=wave.ended_at,
                counts=dict(Counter(p.state for p in row.places.values() if p.wave == wave.number)),
                reason=wave.reason,
            )
            for wave in row.waves
        )
        back = self._ledger.rollouts.get(way_back_id(row.id))
        return Rehearsal(
            state=row.state,
            ended_at=row.ended_at,
            holds=frozenset(row.holds),
            waves=waves,
            counts=dict(states),
            touched=sum(bool(place.before) for place in row.places.values()),
            most_away=dict(self._most),
            limits={f"{cap.label}={cap.value}": cap.limit for cap in self._ledger.cap_facts()},
            events=tuple(_events((row, back) if back else (row,))),
        )


def _events(rows: Iterable[RolloutRow]) -> list[tuple[datetime, str]]:
    found = []
    for row in rows:
        whose = "" if row.undoes is None else "way back: "
        found += [
            (at, f"{whose}{_sentence(kind, decision)}")
            for at, kind, decision in row.log
            if kind not in ("Dispatch", "StartClock", "StopClock")
        ]
    return sorted(found, key=lambda event: event[0])


def _sentence(kind: str, decision: object) -> str:
    number = getattr(decision, "number", None)
    parts = [kind, f"wave {number + 1}" if number is not None else ""]
    parts += [str(getattr(decision, name, "")) for name in ("state", "hold", "reason")]
    return " ".join(part for part in parts if part)
