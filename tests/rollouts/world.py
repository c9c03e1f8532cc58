"""A fleet in which everything happens: a stateful machine over the pure engine, judged by the recount after each step."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fleet.errors import Refused
from fleet.rollouts import actions, advance, carrying, judging
from fleet.rollouts.caps import Cap
from fleet.rollouts.decisions import AdmitLate, BeginWayBack, Decision, EndWave, Forgive
from fleet.rollouts.facts import RolloutFacts
from fleet.rollouts.ledger import Ledger, Machine, Place, RolloutRow, way_back_id
from fleet.rollouts.spec import (
    DAY_MS,
    MINUTE_MS,
    Budget,
    FailFast,
    Gate,
    LateJoiners,
    OfflineSpec,
    OnFailure,
    RolloutSpec,
    TrySpec,
    WaveSpec,
)
from fleet.rollouts.states import LIVE, FailureClass, Hold, HostState
from fleet.rollouts.windows import Freeze, Window
from tests.rollouts import recount

BEGIN = datetime(2026, 11, 25, 20, tzinfo=UTC)
MOST_ROUNDS = 60
_FAILURES = [None, None, None, None, FailureClass.RELEASE, FailureClass.INFRASTRUCTURE, FailureClass.ENGINE]

GATES = st.builds(
    Gate,
    success_pct=st.sampled_from([50, 80, 100]),
    tolerance_pct=st.sampled_from([0, 20, 50]),
    min_successes=st.integers(0, 2),
)
LENIENT = st.just(Gate(success_pct=50, tolerance_pct=50))
SOAKS = [0, 10 * MINUTE_MS]
WAVES = st.builds(
    WaveSpec,
    size=st.sampled_from([1, 2, "25%", "50%"]),
    gate=st.one_of(GATES, GATES, LENIENT, st.none()),
    max_parallel=st.sampled_from([None, 1, 2]),
    approval=st.sampled_from([False, False, True]),
    soak_ms=st.sampled_from(SOAKS),
    deadline_ms=st.sampled_from([None, 60 * MINUTE_MS]),
    on_failure=st.sampled_from([None, OnFailure.HOLD, OnFailure.HOLD]),
    prefetch_next=st.booleans(),
)


@st.composite
def specs(draw: st.DrawFn) -> RolloutSpec:
    """Draw a spec in which anything may be asked for."""
    last = WaveSpec(gate=draw(st.one_of(GATES, LENIENT, st.none())), soak_ms=draw(st.sampled_from(SOAKS)))
    waves = [*draw(st.lists(WAVES, max_size=2)), last]
    window = Window(start="21:00", duration_ms=60 * MINUTE_MS, cutoff_ms=draw(st.sampled_from([None, 20 * MINUTE_MS])))
    freeze = Freeze(begins_at=BEGIN + timedelta(minutes=30), ends_at=BEGIN + timedelta(hours=5))
    fail_fast = draw(st.sampled_from([None, FailFast(min_executed=2)]))
    return RolloutSpec(
        waves=tuple(waves),
        max_parallel=draw(st.integers(1, 5)),
        tries=TrySpec(retry_on=draw(st.sampled_from([(), (FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT)]))),
        budget=draw(st.sampled_from([None, Budget(max_failed_total=1, fail_fast=fail_fast), Budget()])),
        offline=OfflineSpec(park=draw(st.sampled_from([True, True, False])), catch_up_ms=2 * DAY_MS),
        late_joiners=draw(st.sampled_from(LateJoiners)),
        windows=draw(st.sampled_from([(), (), (window,)])),
        freezes=draw(st.sampled_from([(), (), (freeze,)])),
        expires_ms=30 * DAY_MS,
        quarantine_after=draw(st.sampled_from([None, 3])),
    )


class World(RuleBasedStateMachine):
    """Hosts, rollouts, people, and time."""

    first: RolloutSpec | None = None
    """The first rollout's spec, where a certain hole is looked for; None: any."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self.seen = recount.Witness()
        self.hosts = 0
        self.made = 0

    @initialize(hosts=st.integers(3, 9), caps=st.sampled_from([(), ("50%",), (1,), (2,)]), spec=specs())
    def begin(self, hosts: int, caps: Any, spec: RolloutSpec) -> None:
        self.ledger = Ledger(
            [self._machine() for _ in range(hosts)], [Cap(label="site", max_unavailable=c) for c in caps]
        )
        self._plan(self.first or spec)

    def _machine(self) -> Machine:
        self.hosts += 1
        return Machine(id=UUID(int=self.hosts), name=f"h{self.hosts}", labels={"site": "ab"[self.hosts % 2]}, runs="0")

    def _plan(self, spec: RolloutSpec) -> None:
        self.made += 1
        hosts = list(self.ledger.machines)
        row = self.ledger.plan(spec, hosts, self.now, id=UUID(int=1000 + self.made), release=str(self.made))
        self.seen.planned[row.id] = set(hosts)

    @precondition(lambda self: self.made < 3)
    @rule(spec=specs(), sure=st.sampled_from([False, False, True]))
    def plan(self, spec: RolloutSpec, sure: bool) -> None:
        if sure:
            self.now += timedelta(seconds=1)
            self._plan(spec)

    @rule(seconds=st.sampled_from([0, 1, 61, 600, 1800, 3600, 6 * 3600, 3 * 86400]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.tick()

    @rule()
    def tick(self) -> None:
        for row in list(self.ledger.rollouts.values()):
            for round_ in range(MOST_ROUNDS + 1):
                recount.hold(round_ < MOST_ROUNDS, 10, f"{row.id} does not come to rest")
                decisions = advance.advance(self.ledger.facts(row, self.now), self.now)
                if not decisions:
                    recount.rested(self.ledger, row, self.now)
                    break
                for decision in decisions:
                    recount.before(self.ledger, row, decision, self.now, self.seen)
                    self._carry_out(row, decision)

    def _carry_out(self, row: RolloutRow, decision: Decision) -> None:
        if isinstance(decision, AdmitLate):
            self.seen.planned[row.id] |= set(self.ledger.late.get(row.id, ()))
        if isinstance(decision, Forgive):
            self.seen.accepted[row.id] = sum(state in recount.BAD for state in recount.states(row))
        carrying.carry_out(self.ledger, row, decision, self.now)
        if isinstance(decision, BeginWayBack):
            undoing = self.ledger.rollouts[way_back_id(row.id)]
            self.seen.planned[undoing.id] = set(undoing.places)

    def _live(self) -> list[tuple[RolloutRow, UUID]]:
        return [
            (row, place.host_id)
            for row in self.ledger.rollouts.values()
            for place in row.places.values()
            if place.state in LIVE
        ]

    @rule(pick=st.integers(0, 30), failure=st.sampled_from(_FAILURES), steps=st.integers(1, 4))
    def a_host_goes_on(self, pick: int, failure: FailureClass | None, steps: int) -> None:
        if not (live := self._live()):
            return
        row, host_id = live[pick % len(live)]
        for _ in range(steps):
            self._go_on(row, host_id, failure)

    def _go_on(self, row: RolloutRow, host_id: UUID, failure: FailureClass | None) -> None:
        state = row.places[host_id].state
        if state is HostState.APPLYING:
            if self.ledger.machines[host_id].online:
                self._end(row, host_id, failure)
            return
        if state is HostState.PULLING and failure is FailureClass.INFRASTRUCTURE:
            self._end(row, host_id, failure)
            return
        went = carrying.step(self.ledger, row, host_id, self.now)
        if went and state is HostState.READY and row.places[host_id].state in LIVE:
            recount.go(self.ledger, row, host_id, self.now)

    def _end(self, row: RolloutRow, host_id: UUID, failure: FailureClass | None) -> None:
        machine = self.ledger.machines[host_id]
        if failure is None:
            falls = row.undoes is None and int(row.release) < int(machine.runs)
            recount.hold(not falls, 18, f"release {machine.runs} falls to {row.release}")
            self.seen.ran.add((row.id, host_id))
        carrying.end_try(self.ledger, row, host_id, self.now, failure)

    @rule(
        failures=st.lists(st.sampled_from(_FAILURES), min_size=1, max_size=4),
        rounds=st.integers(1, 4),
        minutes=st.sampled_from([0, 2, 15]),
    )
    def all_hosts_go_on(self, failures: list[FailureClass | None], rounds: int, minutes: int) -> None:
        for _ in range(rounds):
            self.tick()
            for at, (row, host_id) in enumerate(self._live() * 4):
                self._go_on(row, host_id, failures[at % len(failures)])
            self.now += timedelta(minutes=minutes)

    @rule(pick=st.integers(0, 30))
    def a_try_runs_out_of_time(self, pick: int) -> None:
        if live := self._live():
            row, host_id = live[pick % len(live)]
            self._end(row, host_id, FailureClass.TIMEOUT)

    @rule(pick=st.integers(0, 30))
    def a_host_regresses(self, pick: int) -> None:
        found = [
            (row, place)
            for row in self.ledger.rollouts.values()
            for place in row.places.values()
            if place.state is HostState.SUCCEEDED
        ]
        if found:
            self._regress(*found[pick % len(found)])

    @rule(pick=st.integers(0, 30), minutes=st.sampled_from([1, 5, 9]), later=st.sampled_from([1, 5, 9]))
    def a_host_regresses_while_its_wave_soaks(self, pick: int, minutes: int, later: int) -> None:
        for _ in range(5):
            self.tick()
            if found := self._soaking():
                self.now += timedelta(minutes=minutes)
                self._regress(*found[pick % len(found)])
                self.now += timedelta(minutes=later)
                self.tick()
                return
            for row, host_id in self._live() * 4:
                self._go_on(row, host_id, None)

    def _soaking(self) -> list[tuple[RolloutRow, Place]]:
        """Return the hosts that succeeded in a wave which soaks, where it has others as well."""
        return [
            (row, place)
            for row in self.ledger.rollouts.values()
            for place in row.places.values()
            if place.state is HostState.SUCCEEDED
            and row.waves[place.wave].soak_since is not None
            and recount.states(row, place.wave).count("succeeded") > 1
        ]

    def _regress(self, row: RolloutRow, place: Place) -> None:
        if carrying.regress(self.ledger, row, place.host_id, self.now):
            self.seen.regressed[row.id, place.wave] = self.now

    @rule(pick=st.integers(0, 30))
    def a_host_goes_or_comes(self, pick: int) -> None:
        machines = list(self.ledger.machines.values())
        machine = machines[pick % len(machines)]
        machine.online = not machine.online

    @rule(pick=st.integers(0, 30))
    def a_host_is_put_into_quarantine(self, pick: int) -> None:
        machines = list(self.ledger.machines.values())
        machines[pick % len(machines)].quarantined = pick % 3 == 0

    @precondition(lambda self: self.hosts < 12)
    @rule()
    def a_host_joins(self) -> None:
        machine = self._machine()
        self.ledger.machines[machine.id] = machine
        for row in self.ledger.rollouts.values():
            self.ledger.late.setdefault(row.id, []).append(machine.id)

    @rule(
        what=st.sampled_from(["pause", "approve", "waive", "retry", "lift"]),
        wave=st.integers(0, 2),
        hold=st.sampled_from(Hold),
    )
    def a_person_acts(self, what: str, wave: int, hold: Hold) -> None:
        self._act(what, wave, hold)

    @rule(pick=st.integers(0, 7))
    def a_person_resumes_what_is_held(self, pick: int) -> None:
        if holds := sorted(self._asked_of().holds):
            self._act("lift", 0, holds[pick % len(holds)])

    @rule(what=st.sampled_from(["abort", "roll_back"]), sure=st.sampled_from([False, False, True]))
    def a_person_stops_it(self, what: str, sure: bool) -> None:
        if sure:
            self._act(what, 0, Hold.USER)

    def _asked_of(self) -> RolloutRow:
        """Return the rollout that a person does something to: the latest that is not over."""
        going = [row for row in self.ledger.rollouts.values() if not row.state.ended]
        return going[-1] if going else list(self.ledger.rollouts.values())[-1]

    def _act(self, what: str, wave: int, hold: Hold) -> None:
        row = self._asked_of()
        facts = self.ledger.facts(row, self.now)
        ways = {
            "pause": lambda: actions.pause(facts, self.now, "because"),
            "approve": lambda: actions.approve(facts, wave),
            "waive": lambda: actions.waive(facts, wave, "because"),
            "retry": lambda: actions.retry(facts, wave),
            "lift": lambda: actions.lift(facts, hold),
            "abort": lambda: actions.abort(facts, "because"),
            "roll_back": lambda: actions.roll_back(facts, "because"),
        }
        try:
            decisions = ways[what]()
        except Refused:
            return
        for decision in decisions:
            if isinstance(decision, EndWave):
                recount.before(self.ledger, row, decision, self.now, self.seen)
            self._carry_out(row, decision)

    @invariant()
    def the_rows_are_right(self) -> None:
        if hasattr(self, "ledger"):
            recount.rows(self.ledger, self.seen)

    def teardown(self) -> None:
        """Heal the world and give every answer: invariant 15, every rollout ends in bounded ticks."""
        if not hasattr(self, "ledger"):
            return
        # A cap that lets no host go is for a person to widen; the plan warns of it.
        self.ledger.caps = ()
        for _ in range(200):
            for machine in self.ledger.machines.values():
                machine.online, machine.unhealthy, machine.quarantined = True, False, False
            self.now += timedelta(minutes=25)
            for _ in range(8):
                self.tick()
                for row, host_id in self._live() * 4:
                    self._go_on(row, host_id, None)
            self._answer_all()
            recount.rows(self.ledger, self.seen)
            if all(row.state.ended for row in self.ledger.rollouts.values()):
                return
        left = [
            (row.state, row.holds, recount.states(row)) for row in self.ledger.rollouts.values() if not row.state.ended
        ]
        recount.hold(False, 15, f"not over although the world healed: {left}")

    def _answer_all(self) -> None:
        for row in list(self.ledger.rollouts.values()):
            for hold in sorted(row.holds):
                facts = self.ledger.facts(row, self.now)
                wave = judging.current(facts)
                number = wave.number if wave is not None else 0
                for decision in self._answered(facts, hold, number):
                    self._carry_out(row, decision)

    def _answered(self, facts: RolloutFacts, hold: Hold, wave: int) -> tuple[Decision, ...]:
        """Return what follows from a person's answer to a hold; a plain resume is the last that is tried."""
        ways = {
            Hold.APPROVAL: lambda: actions.approve(facts, wave),
            Hold.GATE_FAILED: lambda: actions.waive(facts, wave, "healed"),
            Hold.INCONCLUSIVE: lambda: actions.waive(facts, wave, "healed"),
        }
        for way in (ways.get(hold), lambda: actions.lift(facts, hold)):
            try:
                if way is not None:
                    return way()
            except Refused:
                continue
        return ()
