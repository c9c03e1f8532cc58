"""A rehearsal: the same ``advance`` over a simulated fleet with chosen faults; values in, values out, nothing touched.

It tells when a rollout would end, what would hold it, how full each cap became, and how many hosts a bad image reached.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from fleet.rollouts import actions
from fleet.rollouts.caps import Cap
from fleet.rollouts.carrying import carry_out, end_try, regress, step, tick
from fleet.rollouts.judging import current
from fleet.rollouts.ledger import Ledger, Machine, Place, RolloutRow
from fleet.rollouts.rehearsal_told import told
from fleet.rollouts.rehearsed import Faults, Rehearsal, Rehearsed, Span
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import FailureClass, Hold, HostState, RolloutState

IDLE = timedelta(minutes=5)
"""How far time goes on where nothing is under way; what waits (a soak, a window) is late by this at most."""

TICK = timedelta(seconds=15)
"""How long a host waits for the centre's next look."""

GRAIN = timedelta(seconds=5)
"""The least that time goes on: the centre does not look more often."""


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
    others: Sequence[Rehearsed] = (),
    longest: timedelta = timedelta(days=31),
) -> Rehearsal:
    """Run a rollout of *hosts* from *begin* until it is over, waits for a person, or *longest* has passed.

    *others* are hosts of the fleet that are not in it: *caps* count them too.
    """
    machines = [_machine(host) for host in (*hosts, *others)]
    stage = _Stage(Ledger(machines, caps), hosts, begin, faults or Faults())
    return stage.run(spec, seed, begin + longest)


def _machine(host: Rehearsed) -> Machine:
    return Machine(
        id=host.id,
        name=host.name,
        labels=host.labels,
        zone=host.zone,
        windows=host.windows,
        unhealthy=host.unhealthy,
    )


class _Stage:
    def __init__(self, ledger: Ledger, hosts: Sequence[Rehearsed], begin: datetime, faults: Faults) -> None:
        self._hosts = {host.id: host for host in hosts}
        self._roaming = [host for host in hosts if host.away]
        self._faults = faults
        self._now = begin
        self._ledger = ledger
        self._due: list[_Due] = []
        self._known: set[tuple[UUID, UUID, datetime | None]] = set()
        self._order = 0
        self._most: Counter[str] = Counter()
        self._asked: dict[int, datetime] = {}

    def run(self, spec: RolloutSpec, seed: UUID, until: datetime) -> Rehearsal:
        self._row = self._ledger.plan(spec, self._hosts, self._now, id=seed)
        while self._now < until:
            self._sleep()
            self._weather()
            self._catch_up()
            self._answer()
            for row in list(self._ledger.rollouts.values()):
                if not row.state.ended:
                    tick(self._ledger, row, self._now)
            self._watch_caps()
            if self._over() or self._stuck():
                break
            self._plan_steps()
            self._now = min([self._now + IDLE, until, *(max(due.at, self._now + GRAIN) for due in self._due[:1])])
        return told(self._ledger, self._row, self._most)

    def _sleep(self) -> None:
        """Let the time pass in which the centre is away."""
        away = self._faults.centre_away
        if away is not None and _within(self._now, away):
            self._now = away[1]

    def _catch_up(self) -> None:
        """Let hosts do, and tell of, all that is due by now."""
        while self._due and self._due[0].at <= self._now:
            self._do(heapq.heappop(self._due))

    def _over(self) -> bool:
        return all(row.state.ended for row in self._ledger.rollouts.values()) and not self._due

    def _stuck(self) -> bool:
        """Tell whether nothing goes on until a person says so, and no host is under way."""
        waits = self._row.holds - ({Hold.APPROVAL} if self._faults.approve_after is not None else set())
        return bool(waits) and self._row.state is RolloutState.RUNNING and not self._due

    def _weather(self) -> None:
        for host in self._roaming:
            machine = self._ledger.machines[host.id]
            since = next((span[0] for span in host.away if _within(self._now, span)), None)
            machine.online, machine.heard_at = since is None, since

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
                    self._later(row, place.host_id, place.since, self._length(row, place))

    def _later(self, row: RolloutRow, host: UUID, entered: datetime | None, after: timedelta) -> None:
        self._order += 1
        heapq.heappush(self._due, _Due(self._now + after, self._order, row.id, host, entered))

    def _length(self, row: RolloutRow, place: Place) -> timedelta:
        host = self._hosts[place.host_id]
        if place.state is HostState.PULLING:
            since = row.waves[place.wave].prefetched_at
            ahead = self._now - since if since is not None else timedelta()
            return max(timedelta(milliseconds=host.pull_ms) - ahead, timedelta())
        return timedelta(milliseconds=host.apply_ms) if place.state is HostState.APPLYING else TICK

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
        return self._faults.outage is not None and _within(self._now, self._faults.outage)

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


def _within(at: datetime, span: Span) -> bool:
    return span[0] <= at < span[1]
