"""Rollouts under everything that can happen to them, recounted from raw rows after every step.

Messages are lost, repeated and reordered; transactions die at any statement; hosts fail, fall silent and come back; people
do whatever they may. What must hold all the same is numbered as in the design: the engine's own counters prove nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, event

from fleet.errors import Refused
from fleet.history import caps, hosts, stops, tick
from fleet.history import rollouts as people
from fleet.history.database import Database
from fleet.history.fact_tables import commands, rollout_events, updates
from fleet.history.inbox import Good
from fleet.history.rollout_tables import rollout_hosts, rollouts, waves
from fleet.history.tables import METADATA
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Budget, Gate, OfflineSpec, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import LIVE, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.stops import StopKind
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, open_world, rows

HOSTS = 5
RACK_CAP = 2
GATE = Gate(success_pct=60, tolerance_pct=40)
SPECS = (
    RolloutSpec(),
    RolloutSpec(waves=(WaveSpec(size=1, gate=GATE, soak_ms=60_000), WaveSpec(gate=GATE))),
    RolloutSpec(
        waves=(WaveSpec(size=1, gate=GATE), WaveSpec(size=2, gate=GATE, approval=True), WaveSpec(gate=GATE)),
        budget=Budget(max_failed_total=2, fail_fast=None),
        offline=OfflineSpec(park=True),
        tries=TrySpec(max=2, backoff_ms=1000),
        max_parallel=2,
    ),
)
STOPPED = (RolloutState.ABORTING, RolloutState.ROLLING_BACK)


class CrashError(Exception):
    """The process died."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all examples of one run share."""

    db: Database
    clock: HeldClock
    folder: Path


class Machine(RuleBasedStateMachine):
    """A fleet of five hosts, some rollouts, and a road that keeps no promise."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self._ground = ground
        self._stack = ExitStack()
        with ground.db.writing() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(delete(table))
        self.world: World = open_world(ground.db, ground.folder, self._stack)
        self.road: list[Good] = []
        self.silent: set[UUID] = set()
        self.pins: dict[tuple[UUID, UUID], Any] = {}
        self.ended: dict[UUID, Any] = {}
        self.version = 0

    @initialize()
    def begin(self) -> None:
        """Add the hosts, and a cap that counts all of them together."""
        for n in range(HOSTS):
            self.world.add_host(f"web-{n}", container("app"))
            hosts.label_host(self.world.db, f"web-{n}", labels={"rack": "r1"}, **BY)
        caps.set_cap(self.world.db, "rack", str(RACK_CAP), **BY)

    # What happens

    @rule(spec=st.sampled_from(SPECS))
    @precondition(lambda self: self.version < 3)
    def plan(self, spec: RolloutSpec) -> None:
        """A new digest comes out, and a rollout of it begins."""
        self.version += 1
        with suppress(Refused):
            self.world.rollout(spec=spec, version=f"v{self.version}")

    @rule(fates=st.lists(st.sampled_from(["once", "twice", "late", "lost"]), min_size=1, max_size=4))
    def tick_and_send(self, fates: list[str]) -> None:
        """The planner ticks; what it sends comes once, twice, late or never."""
        for at, each in enumerate(self._tick()):
            fate = fates[at % len(fates)]
            agent = self.world.agents[each.host_id]
            if fate == "lost" or agent.id in self.silent:
                continue
            for _ in range(2 if fate == "twice" else 1):
                self.road += [self.world.good(agent, up) for up in agent.hear(each.message)]
            if fate == "late":
                self.road.reverse()

    @rule(few=st.integers(1, 6), again=st.booleans())
    def take(self, few: int, again: bool) -> None:
        """The inbox takes some of what hosts said, maybe twice."""
        batch, self.road = self.road[:few], self.road[few:]
        if batch:
            self.world.take_all(batch)
            if again:
                self.world.take_all(batch)

    @rule(at=st.integers(0, 40), which=st.sampled_from(["tick", "send", "expire"]))
    def crash(self, at: int, which: str) -> None:
        """The planner dies at some statement."""
        with suppress(CrashError), dies_at(self.world.db, at):
            if which == "tick":
                for id in tick.active_rollouts(self.world.db):
                    tick.advance_rollout(self.world.db, id)
            elif which == "send":
                tick.due_messages(self.world.db)
            else:
                tick.expire(self.world.db)

    @rule(seconds=st.sampled_from([1, 61, 130, 700, 4000]), all_alive=st.booleans())
    def time_passes(self, seconds: int, all_alive: bool) -> None:
        """Time passes; hosts that are not silent tell what they have."""
        self._ground.clock.move(seconds=seconds)
        self._heartbeats(set() if all_alive else self.silent)

    @rule(n=st.integers(0, HOSTS - 1), result=st.sampled_from([Result.UPDATED, Result.ROLLED_BACK, Result.FAILED]))
    def turns_bad_or_good(self, n: int, result: Result) -> None:
        """Updates on one host end so from now on."""
        self._agent(n).result = result

    @rule(n=st.integers(0, HOSTS - 1))
    def falls_silent_or_comes_back(self, n: int) -> None:
        """A host loses its network, or has it again."""
        self.silent ^= {self._agent(n).id}

    @rule(n=st.integers(0, HOSTS - 1))
    def lies(self, n: int) -> None:
        """A host says what it was not asked: that it is done with an order which it never carried out, in vain."""
        agent = self._agent(n)
        for order in list(agent.orders.values())[-1:]:
            self.road += [self.world.good(agent, self.world.heartbeat(claims=[order.command], ready=[order.command]))]

    @rule(
        what=st.sampled_from(["pause", "resume", "budget", "abort", "approve", "waive", "retry", "undo"]),
        n=st.integers(0, 3),
    )
    def person(self, what: str, n: int) -> None:
        """A person does something to a rollout, or is refused."""
        ids = sorted(row["id"] for row in rows(self.world.db, rollouts))
        if not ids:
            return
        db, id = self.world.db, ids[n % len(ids)]
        acts: dict[str, Callable[[], object]] = {
            "pause": lambda: people.hold_rollout(db, id, **BY),
            "resume": lambda: people.release_rollout(db, id, **BY),
            "budget": lambda: people.release_rollout(db, id, hold=Hold.BUDGET, **BY),
            "abort": lambda: people.abort_rollout(db, id, **BY),
            "approve": lambda: people.approve_wave(db, id, **BY),
            "waive": lambda: people.waive_wave(db, id, reason="so be it", **BY),
            "retry": lambda: people.retry_wave(db, id, **BY),
            "undo": lambda: people.undo_rollout(db, id, **BY),
        }
        with suppress(Refused):
            acts[what]()

    @rule()
    def freeze_or_unfreeze(self) -> None:
        """A person freezes the fleet, or lifts the freeze."""
        found = stops.stops(self.world.db)
        if found:
            stops.lift_stop(self.world.db, found[0].id, **BY)
        else:
            stops.create_stop(self.world.db, StopKind.FREEZE, Selector(), **BY)

    # What holds

    @invariant()
    def one_live_try_a_host(self) -> None:
        """1, 14: at most one live try a host over all rollouts; every planned host is there, once."""
        live = Counter(row["host_id"] for row in self._hosts() if row["state"] in LIVE)
        assert all(count == 1 for count in live.values()), live

    @invariant()
    def pins_never_change(self) -> None:
        """2, 22: targets stay as planned, orders name nothing else, and success means that this digest was told of."""
        told = {(row["command_id"], row["container"]): row for row in rows(self.world.db, updates)}
        orders = {row["id"]: row["order"] for row in rows(self.world.db, commands)}
        for row in self._hosts():
            key = (row["rollout_id"], row["host_id"])
            assert self.pins.setdefault(key, row["targets"]) == row["targets"]
            pinned = {target["container"]: target["digest"] for target in row["targets"]}
            if row["command_id"] is not None:
                for target in orders[row["command_id"]]["targets"]:
                    assert target["digest"] == pinned[target["container"]]
            if row["state"] is HostState.SUCCEEDED:
                good = told[(row["command_id"], "app")]
                assert (good["result"], good["new_digest"]) == (Result.UPDATED, pinned["app"])

    @invariant()
    def waves_in_their_order(self) -> None:
        """3, 4: nobody is touched before earlier waves are cleared, and what passed met its gate, by its evidence."""
        known: dict[UUID, dict[int, Any]] = defaultdict(dict)
        for wave in rows(self.world.db, waves):
            known[wave["rollout_id"]][wave["number"]] = wave
        specs = {row["id"]: RolloutSpec.parse(row["spec"]) for row in rows(self.world.db, rollouts)}
        for row in self._hosts():
            if row["state"] in LIVE:
                earlier = [known[row["rollout_id"]][n] for n in range(row["wave"])]
                assert all(wave["state"].cleared for wave in earlier)
        for id, of in known.items():
            for number, wave in of.items():
                gate = specs[id].waves[number].gate
                if wave["state"] is WaveState.PASSED and gate is not None:
                    seen = wave["evidence"]
                    judged = seen["planned"] - seen["gone"]
                    assert seen["succeeded"] * 100 >= gate.success_pct * judged
                    assert seen["succeeded"] >= gate.min_successes
                    assert seen["in_flight"] == 0

    @invariant()
    def caps_hold(self) -> None:
        """5: never more hosts live or broken than the cap, unless they broke without being tried."""
        found = self._hosts()
        live = {row["host_id"] for row in found if row["state"] in LIVE}
        assert len(live) <= RACK_CAP

    @invariant()
    def what_ended_stays(self) -> None:
        """9: a rollout that ended never changes, and has nothing live or waiting."""
        for row in rows(self.world.db, rollouts):
            if row["state"].ended:
                assert self.ended.setdefault(row["id"], (row["state"], row["ended_at"])) == (
                    row["state"],
                    row["ended_at"],
                )
                states = {host["state"] for host in self._hosts() if host["rollout_id"] == row["id"]}
                assert not states & {*LIVE, HostState.PENDING, HostState.PARKED}

    @invariant()
    def one_recreate_an_update(self) -> None:
        """12: however often a go came, each update was carried out once."""
        for agent in self.world.agents.values():
            assert len(agent.recreated) == len(set(agent.recreated))

    @invariant()
    def events_replay_to_the_state(self) -> None:
        """19: the last event of each host says the state that it is in."""
        last: dict[tuple[UUID, UUID], str] = {}
        for row in sorted(rows(self.world.db, rollout_events), key=lambda row: row["id"]):
            if row["kind"] == "host":
                last[(row["rollout_id"], row["host_id"])] = row["details"]["state"]
        for row in self._hosts():
            key = (row["rollout_id"], row["host_id"])
            assert last.get(key, "pending") == row["state"].value

    def teardown(self) -> None:
        """15: once the world heals and people answer, every rollout ends."""
        try:
            if self.version:
                self._heal()
        finally:
            self._stack.close()

    def _heal(self) -> None:
        self.silent.clear()
        for stop in stops.stops(self.world.db):
            stops.lift_stop(self.world.db, stop.id, **BY)
        caps.drop_cap(self.world.db, "rack", **BY)
        for _ in range(120):
            active = tick.active_rollouts(self.world.db)
            if not active:
                return
            for agent in self.world.agents.values():
                agent.result = Result.UPDATED
            self._ground.clock.move(seconds=400)
            self._heartbeats(set())
            self.world.deliver(self._tick())
            for id in active:
                self._answer(id)
        left = [
            (r["number"], r["state"].value, r["holds"]) for r in rows(self.world.db, rollouts) if not r["state"].ended
        ]
        raise AssertionError(f"these never end: {left}")

    def _answer(self, id: UUID) -> None:
        """Answer each hold as a patient person would."""
        db = self.world.db
        acts: tuple[Callable[[], object], ...] = (
            lambda: people.release_rollout(db, id, **BY),
            lambda: people.release_rollout(db, id, hold=Hold.BUDGET, **BY),
            lambda: people.approve_wave(db, id, **BY),
            lambda: people.waive_wave(db, id, reason="healed", **BY),
        )
        for act in acts:
            with suppress(Refused):
                act()

    def _tick(self) -> list[tick.Outgoing]:
        """Tick as the planner does, and see that a second tick decides nothing (10) and holds hold (7)."""
        db = self.world.db
        tick.expire(db)
        stopped = self._stopped()
        before = self._moved(stopped)
        for id in tick.active_rollouts(db):
            tick.advance_rollout(db, id)
        assert not any(tick.advance_rollout(db, id) for id in tick.active_rollouts(db))
        sent = tick.due_messages(db)
        tick.mark_sent(db, sent)
        assert self._moved(stopped) <= before
        return sent

    def _stopped(self) -> set[UUID]:
        return {r["id"] for r in rows(self.world.db, rollouts) if r["holds"] or r["state"] in STOPPED}

    def _moved(self, of: set[UUID]) -> set[tuple[UUID, str]]:
        """Return the commands of these rollouts that were written, ordered or released."""
        live = ("pending", "pulling", "applying")
        return {
            (row["id"], row["state"].value)
            for row in rows(self.world.db, commands)
            if row["rollout_id"] in of and row["state"].value in live
        }

    def _heartbeats(self, silent: set[UUID]) -> None:
        for agent in self.world.agents.values():
            if agent.id not in silent:
                waiting = [self.world.good(agent, outcome) for outcome in agent.outcomes.values()]
                held = [id for id in agent.orders if id not in agent.cancelled]
                beat = self.world.heartbeat(claims=held[-1:], ready=held[-1:])
                self.world.take_all([*waiting, self.world.good(agent, beat)])

    def _hosts(self) -> list[dict[str, Any]]:
        return rows(self.world.db, rollout_hosts)

    def _agent(self, n: int) -> Any:
        return sorted(self.world.agents.values(), key=lambda agent: agent.name)[n]


@contextmanager
def dies_at(db: Database, at: int) -> Iterator[None]:
    """Let whoever uses the database die at the statement number *at*."""
    seen = 0

    def look(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen > at:
            raise CrashError

    event.listen(db.engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", look)


def play(db: Database, clock: HeldClock, folder: Path, *, examples: int, steps: int) -> None:
    """Run the machine so many times."""
    make: Any = lambda: Machine(Ground(db, clock, folder))  # noqa: E731
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink),
        ),
    )


def test_rollouts_keep_their_promises_whatever_happens(db: Database, clock: HeldClock, tmp_path: Path) -> None:
    """A few examples at every run."""
    play(db, clock, tmp_path, examples=3, steps=20)


@pytest.mark.full
@pytest.mark.timeout(0)
def test_rollouts_keep_their_promises_over_ten_thousand_lives(db: Database, clock: HeldClock, tmp_path: Path) -> None:
    """As many as a night holds."""
    play(db, clock, tmp_path, examples=10_000, steps=50)
