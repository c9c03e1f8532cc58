"""Rollouts under everything that can happen to them, recounted from raw rows after every step.

Messages are lost, repeated and reordered; transactions die at any statement; hosts fail, lie, lose their memory, fall silent
and come back; people do whatever they may. The numbers of what must hold all the same are the page's.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Table, event, insert

from fleet.errors import Refused
from fleet.history.inbox.taking import Good
from fleet.history.inventory import hosts
from fleet.history.questions.rollout_queries import rollout as told_of
from fleet.history.rollouts import caps, people, tick
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import hosts as inventory
from fleet.history.tables.metadata import METADATA
from fleet.road.messages import Outcome
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Budget, Gate, OfflineSpec, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import Hold
from fleet.rollouts.stops import StopKind
from fleet.rollouts.windows import Window
from fleet.updates.outcome import Result
from tests.databases import empty
from tests.history import recount
from tests.history.conftest import HeldClock
from tests.history.recount import Known, Seen, Witness, hold
from tests.history.world import BY, Agent, World, container, digest_of, open_world, rows, snapshot

BEGIN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOSTS = 5
RACK_CAP = 2
CLOCKS_OFF = (timedelta(), timedelta(days=400), timedelta(days=-400))
"""How wrong the hosts' own clocks are, one after the other."""
GATE = Gate(success_pct=60, tolerance_pct=40)
WINDOWS = tuple(
    Window(start=start, duration_ms=3 * 3_600_000, cutoff_ms=20 * 60_000)
    for start in ("00:30", "06:30", "12:30", "18:30")
)
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
    RolloutSpec(
        waves=(WaveSpec(size=2, gate=Gate(success_pct=50, tolerance_pct=20, min_successes=0)), WaveSpec(gate=None)),
        budget=Budget(max_failed_total=1, fail_fast=None),
    ),
    RolloutSpec(waves=(WaveSpec(gate=GATE),), windows=WINDOWS),
    RolloutSpec(waves=(WaveSpec(gate=None),), budget=Budget(max_failed_total=0, fail_fast=None), max_parallel=1),
)
PLAIN, SOAKING, CAREFUL, LENIENT, IN_WINDOWS, UNFORGIVING = SPECS


class CrashError(Exception):
    """The process died."""


def happens(**given: Any) -> Callable[[Callable[..., None]], Any]:
    """Make a rule that does not follow upon itself: examples that repeat one thing all their life tell nothing."""

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def happen(self: "Machine", *more: Any, **values: Any) -> None:
            function(self, *more, **values)
            self.last = function.__name__

        made: Any = rule(**given)
        return made(precondition(lambda self: self.last != function.__name__)(happen))

    return decorate


@dataclass(frozen=True, slots=True)
class Ground:
    """What all examples of one run share."""

    db: Database
    clock: HeldClock
    folder: Path
    begun: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    """All rows as they are when an example begins: made by the first, written again for the others."""
    ids: list[int] = field(default_factory=lambda: [0])
    """How many ids these rows took: every example goes on from there, so that it can be repeated."""


class Machine(RuleBasedStateMachine):
    """A fleet of five hosts, some rollouts, and a road that keeps no promise."""

    heals = True
    first: RolloutSpec | None = None
    """The first rollout's spec, where a certain hole is looked for; None: any."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self._ground = ground
        self._stack = ExitStack()
        ground.clock.at = BEGIN
        self._numbers = count(ground.ids[0])
        self._stack.enter_context(pytest.MonkeyPatch.context()).setattr("fleet.ids.uuid7", self._uuid7)
        empty(ground.db)
        self.world: World = open_world(ground.db, ground.folder, self._stack)
        self.road: list[Good] = []
        self.silent: set[UUID] = set()
        self.version = 0
        self.witness = Witness(cap=RACK_CAP, began=BEGIN, now=BEGIN)
        self.liars: set[UUID] = set()
        """Hosts that say that updates went well, and tell of another digest than the pinned one."""
        self.shams: set[UUID] = set()
        """Hosts that say that the pinned digest runs, and whose snapshots show another."""
        self.showing: set[UUID] = set()
        """Hosts that show what they run after each update: those that were shams once, so that it comes right again."""
        self.last = ""
        """The name of the rule that was followed last."""
        self._known = Known()
        self._seen: Seen | None = None
        """All rows as they were read last."""
        self._stack.enter_context(before_each_statement(ground.db, self._known.forget))

    @initialize(spec=st.sampled_from(SPECS))
    def begin(self, spec: RolloutSpec) -> None:
        """Add the hosts, and a cap that counts all of them together; and a first rollout, without which nothing happens."""
        self._settle_down()
        for n, agent in enumerate(self.world.agents.values()):
            agent.clock_off = CLOCKS_OFF[n % len(CLOCKS_OFF)]
        self.plan(self.first or spec)

    def _settle_down(self) -> None:
        begun = self._ground.begun
        if not begun:
            for n in range(HOSTS):
                self.world.add_host(f"web-{n}", container("app"))
                hosts.label_host(self.world.db, f"web-{n}", labels={"rack": "r1"}, **BY)
            caps.set_cap(self.world.db, "rack", str(RACK_CAP), **BY)
            self._ground.ids[0] = next(self._numbers)
            begun |= {table: found for table in METADATA.sorted_tables if (found := rows(self.world.db, table))}
            return
        with self.world.db.writing() as connection:
            for table, values in begun.items():
                connection.execute(insert(table), values)
        self.world.agents = {row["id"].hex: Agent(row["id"], row["name"]) for row in begun[inventory]}

    def _uuid7(self) -> UUID:
        """Return ids in their order, the same ones in every example."""
        number = next(self._numbers)
        milliseconds = int(BEGIN.timestamp() * 1000) + number
        return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x8 << 60 | number)

    # What happens

    @happens(spec=st.sampled_from(SPECS))
    @precondition(lambda self: self.version < 3)
    def plan(self, spec: RolloutSpec) -> None:
        """A new digest comes out, and a rollout of it begins."""
        self.version += 1
        with suppress(Refused):
            self.world.rollout(spec=spec, version=f"v{self.version}")

    @happens(rounds=st.integers(1, 6), seconds=st.sampled_from([0, 5, 61]))
    def all_goes_on(self, rounds: int, seconds: int) -> None:
        """For a while the road keeps every promise."""
        for _ in range(rounds):
            self._send(self._tick(), ["once"])
            self.take(len(self.road), again=False)
            self._ground.clock.move(seconds=seconds)

    @happens(fates=st.lists(st.sampled_from(["once", "twice", "late", "lost"]), min_size=1, max_size=4))
    def tick_and_send(self, fates: list[str]) -> None:
        """The planner ticks; what it sends comes once, twice, late or never."""
        self._send(self._tick(), fates)

    @happens(fates=st.lists(st.sampled_from(["once", "twice", "late", "lost"]), min_size=1, max_size=4))
    def tick_and_die_before_the_mark(self, fates: list[str]) -> None:
        """The planner dies after it sent, and before it wrote that it had."""
        self._send(self._tick(marks=False), fates)

    @happens(few=st.integers(1, 6), again=st.booleans())
    def take(self, few: int, again: bool) -> None:
        """The inbox takes some of what hosts said, maybe twice."""
        batch, self.road = self.road[:few], self.road[few:]
        if batch:
            self.world.take_all(batch)
            if again:
                self.world.take_all(batch)

    @happens(at=st.integers(0, 40), which=st.sampled_from(["tick", "send", "expire"]))
    def crash(self, at: int, which: str) -> None:
        """The planner dies at some statement."""
        with suppress(CrashError), dies_at(self.world.db, at):
            if which == "tick":
                self.world.advance_all()
            elif which == "send":
                tick.due_messages(self.world.db)
            else:
                tick.expire(self.world.db)

    @happens(seconds=st.sampled_from([1, 61, 130, 700, 4000]), all_alive=st.booleans())
    def time_passes(self, seconds: int, all_alive: bool) -> None:
        """Time passes; hosts that are not silent tell what they have."""
        self._ground.clock.move(seconds=seconds)
        self._heartbeats(set() if all_alive else self.silent)

    @happens(
        n=st.integers(0, HOSTS - 1), what=st.sampled_from(["bad", "broken", "good", "silent", "forgetful", "lying"])
    )
    def a_host_is(self, n: int, what: str) -> None:
        """From now on updates on a host end so, or it turns silent, or a liar, or what it was; or its journal is gone."""
        agent = self._agent(n)
        match what:
            case "silent":
                self.silent ^= {agent.id}
            case "lying":
                self.liars ^= {agent.id}
            case "forgetful":
                agent.orders.clear()
                agent.outcomes.clear()
            case _:
                results = {"bad": Result.ROLLED_BACK, "broken": Result.FAILED, "good": Result.UPDATED}
                agent.result = results[what]

    @happens(few=st.integers(1, 2), rounds=st.integers(3, 7))
    def the_release_is_bad_for_some(self, few: int, rounds: int) -> None:
        """Of those whose wave's turn it is, some come back from the release; and all has its time to see that."""
        seen = self.look()
        for id in tick.active_rollouts(self.world.db):
            turn = [row for row in seen.hosts.values() if row["rollout_id"] == id and row["wave"] == seen.turn(id)]
            for row in sorted(turn, key=lambda row: row["position"])[:few]:
                self.world.agents[row["host_id"].hex].result = Result.ROLLED_BACK
        self.all_goes_on(rounds=rounds, seconds=61)

    @happens(few=st.integers(1, 2), rounds=st.integers(4, 7), shown=st.booleans())
    def some_say_that_they_updated_and_did_not(self, few: int, rounds: int, shown: bool) -> None:
        """Of those whose wave's turn it is, some report a success that their own word, or what they show, contradicts."""
        seen, lying = self.look(), self.shams if shown else self.liars
        for id in tick.active_rollouts(self.world.db):
            turn = [row for row in seen.hosts.values() if row["rollout_id"] == id and row["wave"] == seen.turn(id)]
            lying |= {row["host_id"] for row in sorted(turn, key=lambda row: row["position"])[:few]}
        self.all_goes_on(rounds=rounds, seconds=61)
        lying.clear()

    @happens(
        rounds=st.integers(1, 3),
        what=st.sampled_from(["pause", "abort", "undo", "freeze"]),
        seconds=st.sampled_from([0, 61]),
    )
    def a_person_stops_it_in_the_middle(self, rounds: int, what: str, seconds: int) -> None:
        """Offers, orders and gos are under way when a person stops all of it; the planner looks again, and once more later."""
        for _ in range(rounds):
            self._send(self._tick(), ["once"])
            self.take(len(self.road), again=False)
        for n in range(len(self.look().rollouts)):
            if what == "freeze":
                self.freeze_or_unfreeze()
                break
            self.person(what, n)
        for _ in range(2):
            self._send(self._tick(), ["once"])
            self._ground.clock.move(seconds=seconds)

    @happens(most=st.sampled_from([1, RACK_CAP, HOSTS]))
    def a_person_sets_the_cap(self, most: int) -> None:
        """More hosts may be away at once than before, or fewer."""
        caps.set_cap(self.world.db, "rack", str(most), **BY)
        self.witness.cap = most

    @happens()
    def outcomes_come_late_and_people_try_again(self) -> None:
        """What hosts say of a try comes when it ran out of time, and the next one is under way."""
        self.all_goes_on(rounds=2, seconds=0)
        self._send(self._tick(), ["once"])
        late, self.road = self.road, []
        self._ground.clock.move(seconds=4000)
        self._heartbeats(set(), outcomes=False)
        self._tick()
        for id in tick.active_rollouts(self.world.db):
            with suppress(Refused):
                people.retry_wave(self.world.db, id, **BY)
        self._tick()
        if late:
            self.world.take_all(late)

    @happens(n=st.integers(0, HOSTS - 1))
    def lies(self, n: int) -> None:
        """A host says what it was not asked: that it is done with an order which it never carried out, in vain."""
        agent = self._agent(n)
        for order in list(agent.orders.values())[-1:]:
            self.road += [self.world.good(agent, self.world.heartbeat(claims=[order.command], ready=[order.command]))]

    @happens(
        what=st.sampled_from(["pause", "resume", "budget", "abort", "approve", "waive", "retry", "undo"]),
        n=st.integers(0, 3),
    )
    def person(self, what: str, n: int) -> None:
        """A person does something to a rollout, or is refused."""
        seen = self.look()
        if not seen.rollouts:
            return
        db, id = self.world.db, sorted(seen.rollouts)[n % len(seen.rollouts)]
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
            if what == "budget":
                self.witness.accepted[id] = seen.failed(id)

    @happens()
    def freeze_or_unfreeze(self) -> None:
        """A person freezes the fleet, or lifts the freeze."""
        found = stops.stops(self.world.db)
        if found:
            stops.lift_stop(self.world.db, found[0].id, **BY)
        else:
            stops.create_stop(self.world.db, StopKind.FREEZE, Selector(), **BY)
        self.witness.frozen = not found

    # What holds

    @invariant()
    def the_rows_are_right(self) -> None:
        """Recount everything, and look that no host was recreated twice for one update (12)."""
        self._recount()
        for agent in self.world.agents.values():
            hold(len(agent.recreated) == len(set(agent.recreated)), 12, "an update was carried out twice")

    def teardown(self) -> None:
        """15: once the world heals and people answer, every rollout ends."""
        try:
            if self.version and self.heals:
                self._heal()
                self._counts_are_true()
        finally:
            self._stack.close()

    def _heal(self) -> None:
        self.silent.clear()
        self.liars.clear()
        self.shams.clear()
        for stop in stops.stops(self.world.db):
            stops.lift_stop(self.world.db, stop.id, **BY)
        self.witness.frozen = self.witness.capped = False
        caps.drop_cap(self.world.db, "rack", **BY)
        for _ in range(150):
            active = tick.active_rollouts(self.world.db)
            if not active:
                return
            for agent in self.world.agents.values():
                agent.result = Result.UPDATED
            self._ground.clock.move(seconds=400)
            self._heartbeats(set())
            self._send(self._tick(), ["once"])
            self.world.take_all(self.road)
            self.road = []
            seen = self._recount()
            for id in active:
                if seen.rollouts[id]["holds"]:
                    self._answer(id, seen.failed(id))
        seen = self.look()
        left = [(r["number"], r["state"].value, r["holds"]) for r in seen.rollouts.values() if not r["state"].ended]
        hold(False, 15, f"these never end: {left}")

    def _counts_are_true(self) -> None:
        """13: what people are told is what a recount says."""
        seen = self.look()
        for id in seen.rollouts:
            mine = [row["state"] for key, row in seen.hosts.items() if key[0] == id]
            told = told_of(self.world.db, id)
            hold({s: n for s, n in told.rollout.counts.items() if n} == {s: mine.count(s) for s in mine}, 13, f"{id}")

    def _answer(self, id: UUID, failed: int) -> None:
        """Answer each hold as a patient person would."""
        db = self.world.db
        acts: tuple[Callable[[], object], ...] = (
            lambda: people.release_rollout(db, id, **BY),
            lambda: people.release_rollout(db, id, hold=Hold.BUDGET, **BY),
            lambda: people.approve_wave(db, id, **BY),
            lambda: people.waive_wave(db, id, reason="healed", **BY),
        )
        for number, act in enumerate(acts):
            with suppress(Refused):
                act()
                if number == 1:
                    self.witness.accepted[id] = failed

    def _tick(self, *, marks: bool = True) -> list[tick.Outgoing]:
        """Tick as the planner does, judge what it did, and see that another tick decides nothing (10)."""
        db = self.world.db
        before = self.look()
        tick.expire(db)
        offers = self.world.advance_all()
        again = [tick.advance_rollout(db, id) for id in tick.active_rollouts(db)]
        hold(not any(each.changed or each.offers for each in again), 10, "a second tick decides something")
        sent = offers + tick.due_messages(db)
        if sent:
            hold(not tick.due_messages(db), 11, "what one planner has in hand is due for another as well")
        if marks:
            tick.mark_sent(db, sent)
        after, now = self.look(), self._ground.clock.now()
        recount.ticked(before, after, self.witness, now)
        recount.sent(after, sent, self.witness)
        return sent

    def _recount(self) -> Seen:
        self.witness.now = self._ground.clock.now()
        seen = self.look()
        recount.rows(seen, self.witness)
        return seen

    def look(self) -> Seen:
        """Return all rows as they are; read again only where one may have changed."""
        if self._seen is None or self._known.stale:
            self._seen = Seen.read(self.world.db, self._known)
        return self._seen

    def _send(self, sent: list[tick.Outgoing], fates: list[str]) -> None:
        for at, each in enumerate(sent):
            fate = fates[at % len(fates)]
            agent = self.world.agents[each.host_id]
            if fate == "lost" or agent.id in self.silent:
                continue
            for _ in range(2 if fate == "twice" else 1):
                for up in agent.hear(each.message):
                    told = self._told(agent, up)
                    self.road += [self.world.good(agent, said) for said in (told, *self._shown(agent, told))]
            if fate == "late":
                self.road.reverse()

    def _told(self, agent: Agent, up: Any) -> Any:
        """Return what a host says, which may be a lie; what it really runs is remembered."""
        if not isinstance(up, Outcome):
            return up
        good = up.outcome.result is Result.UPDATED
        if good and up.outcome.update_id not in self.witness.ran:
            seen = self.look()
            recount.brought(self.witness, agent.id, seen.rollouts[seen.commands[up.command]["rollout_id"]])
        if agent.id in self.liars:
            other = replace(up.outcome, new_digest=digest_of("another"))
            up = up.model_copy(update={"outcome": other})
            agent.outcomes[up.outcome.update_id] = up
        elif good:
            self.witness.honest.add(up.outcome.update_id)
        if good:
            self.witness.ran.setdefault(up.outcome.update_id, up.outcome.new_digest)
        return up

    def _shown(self, agent: Agent, told: Any) -> list[Any]:
        """Return the snapshot that a host sends with an outcome, if it does: of a sham, of what it really runs."""
        self.showing |= {agent.id} & self.shams
        if not isinstance(told, Outcome) or told.outcome.result is not Result.UPDATED or agent.id not in self.showing:
            return []
        runs = digest_of("another") if agent.id in self.shams else told.outcome.new_digest
        return [snapshot(replace(container("app"), id=told.outcome.new_container_id, digests=(runs,)))]

    def _heartbeats(self, silent: set[UUID], *, outcomes: bool = True) -> None:
        said = []
        for agent in self.world.agents.values():
            if agent.id not in silent:
                said += [self.world.good(agent, outcome) for outcome in agent.outcomes.values() if outcomes]
                held = [id for id in agent.orders if id not in agent.cancelled]
                beat = self.world.heartbeat(claims=held[-1:], ready=held[-1:], clock_off=agent.clock_off)
                said.append(self.world.good(agent, beat))
        if said:
            self.world.take_all(said)

    def _agent(self, n: int) -> Agent:
        return sorted(self.world.agents.values(), key=lambda agent: agent.name)[n]


@contextmanager
def dies_at(db: Database, at: int) -> Iterator[None]:
    """Let whoever uses the database die at the statement number *at*."""
    seen = count(1)

    def look(_: str) -> None:
        if next(seen) > at:
            raise CrashError

    with before_each_statement(db, look):
        yield


@contextmanager
def before_each_statement(db: Database, tell: Callable[[str], None]) -> Iterator[None]:
    """Have each statement told before it is executed."""

    def look(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        tell(statement)

    event.listen(db.engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", look)
