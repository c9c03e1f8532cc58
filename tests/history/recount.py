"""The invariants of the page over SQL, recounted from raw rows, never from what the engine counted. Numbers are the page's."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.rollouts.tick import Outgoing
from fleet.history.rollouts.wave_counts import Counts, counts_of
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands, rollout_events, updates
from fleet.history.tables.inventory import containers
from fleet.history.tables.inventory import hosts as inventory
from fleet.history.tables.rollouts import rollout_hosts, rollout_shapes, rollouts, waves
from fleet.road.messages import Go, Offer, Order
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.windows import Window
from tests.rollouts.recount import BAD, GONE, LIVE
from tests.rollouts.recount import hold as hold

Row = dict[str, Any]
Key = tuple[UUID, UUID]
_TABLES = (rollouts, waves, rollout_hosts, commands, updates, rollout_events, containers, rollout_shapes, inventory)
_ALL_OF = {table.name: select(table) for table in _TABLES}
"""Made once: they are asked for after every step."""
_WRITES_ONE = re.compile(r'\s*(?:INSERT INTO|UPDATE) "?(\w+)"?\s')
"""How statements begin that change rows of one table."""
_CHANGES_NOTHING = ("SELECT", "BEGIN", "SAVEPOINT", "RELEASE")
"""How statements begin that change no row; what a crash takes back, the statements before it have told of."""
_CLEARED = ("passed", "waived")


class Known:
    """The rows of each table as they were read last, for as long as no statement may have changed one."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}
        self.stale = True
        """Whether a statement came since the last reading that may have changed something."""

    def forget(self, statement: str) -> None:
        """Forget what *statement* may change: the rows of the table that it names, or all."""
        if statement.lstrip().upper().startswith(_CHANGES_NOTHING):
            return
        self.stale = True
        named = _WRITES_ONE.match(statement)
        if named is None:
            self._rows.clear()
        else:
            self._rows.pop(named[1], None)

    def rows(self, connection: Connection, table: str) -> list[Row]:
        """Return all rows of *table*."""
        if table not in self._rows:
            self._rows[table] = [dict(row) for row in connection.execute(_ALL_OF[table]).mappings()]
        return self._rows[table]


@dataclass(frozen=True, slots=True)
class Seen:
    """All rows at one moment."""

    rollouts: dict[UUID, Row]
    waves: dict[tuple[UUID, int], Row]
    hosts: dict[Key, Row]
    commands: dict[UUID, Row]
    updates: list[Row]
    events: list[Row]
    shown: dict[tuple[UUID, str], Row]
    """By host and name: the containers of its latest snapshot."""
    told: dict[UUID, Counts]
    """By rollout: how many hosts are in which state, as the engine tells."""
    heard: dict[UUID, datetime | None]
    """By host: when it was last heard of, as it is written."""

    @classmethod
    def read(cls, db: Database, known: Known) -> "Seen":
        """Read in one transaction what is not *known*."""
        with db.reading() as connection:
            found = [known.rows(connection, table) for table in _ALL_OF]
            told = {row["id"]: _told(connection, row["id"]) for row in found[0]}
        known.stale = False
        (
            all_rollouts,
            all_waves,
            all_hosts,
            all_commands,
            all_updates,
            all_events,
            all_containers,
            shapes,
            inventoried,
        ) = found
        all_hosts = [dict(row) for row in all_hosts]
        _make_whole(all_hosts, shapes)
        return cls(
            {row["id"]: row for row in all_rollouts},
            {(row["rollout_id"], row["number"]): row for row in all_waves},
            {(row["rollout_id"], row["host_id"]): row for row in all_hosts},
            {row["id"]: row for row in all_commands},
            sorted(all_updates, key=lambda row: row["id"]),
            sorted(all_events, key=lambda row: row["id"]),
            {(row["host_id"], row["name"]): row for row in all_containers},
            told,
            {row["id"]: row["last_seen_at"] for row in inventoried},
        )

    def live(self) -> set[UUID]:
        """Return the hosts with a live try."""
        return {row["host_id"] for row in self.hosts.values() if row["state"].value in LIVE}

    def unhealthy(self) -> set[UUID]:
        """Return the hosts that failed and succeeded in no later rollout."""
        bad: dict[UUID, bool] = {}
        for (_, host_id), row in sorted(self.hosts.items()):
            if row["state"].value in BAD or row["state"].value == "succeeded":
                bad[host_id] = row["state"].value in BAD
        return {host_id for host_id, is_bad in bad.items() if is_bad}

    def failed(self, rollout_id: UUID) -> int:
        """Return how many hosts of a rollout failed."""
        return sum(row["state"].value in BAD for key, row in self.hosts.items() if key[0] == rollout_id)

    def stopped(self) -> set[UUID]:
        """Return the rollouts that may send nothing."""
        return {id for id, row in self.rollouts.items() if row["holds"] or row["state"] != "running"}

    def turn(self, rollout_id: UUID) -> int:
        """Return the number of the first wave of a rollout that keeps later ones shut; -1 where none does."""
        mine = sorted((row["number"], row["state"]) for key, row in self.waves.items() if key[0] == rollout_id)
        return next((number for number, state in mine if state not in _CLEARED), -1)

    def open_commands(self) -> list[Row]:
        """Return the commands that have not ended."""
        return [row for row in self.commands.values() if row["ended_at"] is None]


def _told(connection: Connection, id: UUID) -> Counts:
    of_it = select(waves).where(waves.c.rollout_id == id)
    return counts_of(connection, id, connection.execute(of_it).mappings().all())


def _make_whole(hosts: Sequence[Row], shapes: Sequence[Row]) -> None:
    """Put into each host's row what its shape holds for it."""
    pins = {(row["rollout_id"], row["number"]): row["pins"] for row in shapes}
    for row in hosts:
        if row["shape"] is not None:
            mine = zip(row["targets"], pins[row["rollout_id"], row["shape"]], strict=True)
            row["targets"] = tuple({"container_id": id, **pin} for id, pin in mine)


@dataclass(slots=True)
class Witness:
    """What the test remembers from step to step, besides the rows."""

    cap: int
    pins: dict[Key, Any] = field(default_factory=dict)
    planned: dict[UUID, set[UUID]] = field(default_factory=dict)
    passed: set[tuple[UUID, int]] = field(default_factory=set)
    ended: dict[UUID, Any] = field(default_factory=dict)
    accepted: dict[UUID, int] = field(default_factory=dict)
    """Failures that a person accepted."""
    capped: bool = True
    frozen: bool = False
    ran: dict[UUID, str] = field(default_factory=dict)
    """By update: the digest that its host was really brought to."""
    honest: set[UUID] = field(default_factory=set)
    """The updates that went well, and of which their hosts said so and nothing but the truth."""
    newest: dict[UUID, int] = field(default_factory=dict)
    """By host: the number of the newest rollout that it was brought to, since its last way back."""
    began: datetime | None = None
    """When the example began; None: times are not looked at."""
    now: datetime | None = None


def rows(seen: Seen, witness: Witness) -> None:
    """Judge the rows as they stand."""
    _one_live_try(seen)
    _times(seen, witness)
    _pins(seen, witness)
    _blame(seen, witness)
    _what_runs(seen)
    _waves(seen, witness)
    _ended(seen, witness)
    _all_there(seen, witness)
    _replay(seen)


def _one_live_try(seen: Seen) -> None:
    live = [row["host_id"] for row in seen.hosts.values() if row["state"].value in LIVE]
    hold(len(live) == len(set(live)), 1, "two live tries on one host")
    for command in seen.open_commands():
        host = seen.hosts[command["rollout_id"], command["host_id"]]
        hold(host["command_id"] == command["id"], 1, "an open command is not the latest of its host")
        hold(host["state"].value in LIVE, 1, f"a command is {command['state']}, and its host is {host['state']}")


def _times(seen: Seen, witness: Witness) -> None:
    """Judge every time that something is decided by: all of them are the centre's, whatever clocks of hosts say."""
    if witness.began is None or witness.now is None:
        return
    told = [*seen.heard.values()]
    told += [row[name] for row in seen.commands.values() for name in ("created_at", "changed_at", "ended_at")]
    told += [row[name] for row in seen.hosts.values() for name in ("changed_at", "parked_at")]
    told += [row["recorded_at"] for row in seen.updates]
    for at in told:
        hold(at is None or witness.began <= at <= witness.now, 17, f"something was at {at}, and now is {witness.now}")


def _blame(seen: Seen, witness: Witness) -> None:
    """Judge failures: whatever mirrors did meanwhile, a host of which all went well has not failed."""
    for row in seen.hosts.values():
        command = seen.commands.get(row["command_id"]) if row["state"] == "failed" else None
        if command is not None and command["state"] == "done":
            mine = [each["id"] for each in seen.updates if each["command_id"] == row["command_id"]]
            hold(not witness.honest.issuperset(mine), 23, "a host failed of which every update went well")


def brought(witness: Witness, host_id: UUID, rollout: Row) -> None:
    """Judge that a host was brought to what a rollout pinned: never to an older one, but by a way back."""
    if rollout["way_back_of"] is not None:
        witness.newest.pop(host_id, None)
        return
    newest = witness.newest.get(host_id, 0)
    hold(rollout["number"] >= newest, 18, f"a host falls from rollout {newest} to {rollout['number']}")
    witness.newest[host_id] = rollout["number"]


def _pins(seen: Seen, witness: Witness) -> None:
    for key, row in seen.hosts.items():
        hold(witness.pins.setdefault(key, row["targets"]) == row["targets"], 2, "a pin changed")
        pinned = {target["container"]: target["digest"] for target in row["targets"]}
        if row["command_id"] is not None:
            for target in seen.commands[row["command_id"]]["order"]["targets"]:
                hold(target["digest"] == pinned[target["container"]], 2, "an order names another digest")
        if row["state"] == "succeeded":
            mine = [each for each in seen.updates if each["command_id"] == row["command_id"]]
            hold(bool(mine), 16, "a host succeeded of which no outcome came")
            good = [each for each in mine if witness.ran.get(each["id"]) == pinned[each["container"]]]
            hold(len(good) == len(pinned), 22, "a host succeeded, and does not run what was pinned")


def _what_runs(seen: Seen) -> None:
    """Judge successes of rollouts that run by what their hosts show; what is over does not change any more."""
    for (id, host_id), row in seen.hosts.items():
        if row["state"] == "succeeded" and seen.rollouts[id]["state"] == "running":
            for target in row["targets"]:
                shown = seen.shown.get((host_id, target["container"]))
                # One that is still the old container was shown before the update.
                if shown is not None and shown["id"] != target["container_id"]:
                    hold(
                        target["digest"] in shown["digests"], 22, "a host succeeded, and shows that another digest runs"
                    )


def _waves(seen: Seen, witness: Witness) -> None:
    specs = {id: RolloutSpec.parse(row["spec"]) for id, row in seen.rollouts.items()}
    for (id, _), row in seen.hosts.items():
        if row["state"].value in LIVE:
            for number in range(row["wave"]):
                earlier = seen.waves[id, number]["state"]
                ungated = specs[id].waves[number].gate is None and earlier == "failed"
                hold(earlier.value in _CLEARED or ungated, 3, f"wave {row['wave']} goes, and {number} is {earlier}")
    states = defaultdict(list)
    for (id, _), row in seen.hosts.items():
        states[id, row["wave"]].append(row["state"].value)
    for key, wave in seen.waves.items():
        if wave["state"] == "passed" and key not in witness.passed:
            witness.passed.add(key)
            _passed(specs[key[0]].waves[key[1]], wave, states[key])
        if wave["state"] != "passed":
            witness.passed.discard(key)


def _passed(spec: Any, wave: Row, states: list[str]) -> None:
    """Judge a wave that has passed since the last look; no outcome was taken between."""
    if spec.gate is None:
        return
    counted = sum(state not in GONE for state in states)
    succeeded, failed = states.count("succeeded"), sum(state in BAD for state in states)
    hold(succeeded * 100 >= spec.gate.success_pct * counted, 4, f"passed with {succeeded} of {counted}")
    hold(succeeded >= spec.gate.min_successes, 4, f"passed with {succeeded} successes")
    hold(failed * 100 <= spec.gate.tolerance_pct * counted, 4, f"passed with {failed} of {counted} failed")
    hold(not any(state in LIVE for state in states), 4, "passed with a host in flight")
    told = wave["evidence"]
    hold((told["succeeded"], told["failed"]) == (succeeded, failed), 4, "passed, and its evidence is another")
    if spec.soak_ms:
        served = wave["soak_since"] is not None and wave["ended_at"] - wave["soak_since"]
        hold(served is not False and served >= timedelta(milliseconds=spec.soak_ms), 4, "passed before its soak")


def _ended(seen: Seen, witness: Witness) -> None:
    states = defaultdict(list)
    for (id, _), row in seen.hosts.items():
        states[id].append(row["state"].value)
    for id, row in seen.rollouts.items():
        if row["state"].ended:
            now = (row["state"], row["ended_at"])
            hold(witness.ended.setdefault(id, now) == now, 9, "a terminal rollout changed")
            left = {*LIVE, "pending", "parked"} & set(states[id])
            hold(not left, 9, f"a terminal rollout has hosts that are {left}")


def _all_there(seen: Seen, witness: Witness) -> None:
    there = defaultdict(set)
    for id, host_id in seen.hosts:
        there[id].add(host_id)
    for id, row in seen.rollouts.items():
        planned = witness.planned.setdefault(id, there[id])
        if row["way_back_of"] is not None:
            # A host joins it of whose update is heard only now.
            late = {each["host_id"] for each in seen.updates if each["rollout_id"] == row["way_back_of"]}
            planned |= late & there[id]
        hold(planned == there[id], 14, "a planned host is lost, or one more is there")
    sizes = Counter((id, row["wave"]) for (id, _), row in seen.hosts.items())
    for key, wave in seen.waves.items():
        hold(wave["hosts"] == sizes[key], 13, f"a wave's size is {wave['hosts']}, and it has {sizes[key]} hosts")
    states = Counter((id, row["wave"], row["state"]) for (id, _), row in seen.hosts.items())
    told = {
        (id, number, state): hosts
        for id, counts in seen.told.items()
        for number, of_wave in counts.items()
        for state, hosts in of_wave.items()
        if hosts
    }
    hold(told == dict(states), 13, "hosts are not counted in the states that they are in")


def _replay(seen: Seen) -> None:
    last: dict[Key, str] = {}
    for row in seen.events:
        if row["kind"] == "host":
            last[row["rollout_id"], row["host_id"]] = row["details"]["state"]
    for key, row in seen.hosts.items():
        hold(last.get(key, "pending") == row["state"].value, 19, f"events say {last.get(key)}, rows {row['state']}")


def ticked(before: Seen, after: Seen, witness: Witness, now: datetime) -> None:
    """Judge what one tick did; no outcome was taken in it."""
    for row in after.open_commands():
        hold(row["deadline"] is None or row["deadline"] > now, 15, f"a try that is {row['state']} outlives its time")
    stopped = before.stopped() & after.stopped()
    for command in after.commands.values():
        was = before.commands.get(command["id"])
        rollout = after.rollouts[command["rollout_id"]]
        if was is None:
            _dispatched(before, after, command, witness)
        elif was["state"] != command["state"] and command["state"].value in ("offered", "pulling", "applying"):
            hold(rollout["id"] not in stopped, 7, f"a command got {command['state']} while held or stopped")
        if command["state"] == "applying" and (was is None or was["state"] != "applying"):
            hold(not witness.frozen, 8, "a go in a freeze")
            _in_a_window(RolloutSpec.parse(rollout["spec"]), now)
    _waves(after, witness)  # before more ticks and outcomes: who was pending as a wave passed goes on in it


def sent(after: Seen, messages: Sequence[Outgoing], witness: Witness) -> None:
    """Judge what went out in a tick that left the rows so: who stops a rollout has stopped what is repeated, too."""
    for each in messages:
        if isinstance(each.message, Offer | Order | Go):
            rollout = after.rollouts[after.commands[each.message.command]["rollout_id"]]
            told = f"{each.message.kind} went out of a rollout that is {rollout['state']}, held for {rollout['holds']}"
            hold(rollout["id"] not in after.stopped(), 7, told)
            hold(not witness.frozen, 8, f"{each.message.kind} went out in a freeze")


def _dispatched(before: Seen, after: Seen, command: Row, witness: Witness) -> None:
    id, host_id = command["rollout_id"], command["host_id"]
    rollout = after.rollouts[id]
    # A rollout that was planned or held may begin, or be let go, within the tick itself.
    hold(id not in after.stopped() or id not in before.stopped(), 7, f"a dispatch while {rollout['state']}")
    hold(not witness.frozen, 8, "a dispatch in a freeze")
    budget = RolloutSpec.parse(rollout["spec"]).budget
    if budget is not None and isinstance(budget.max_failed_total, int):
        most = max(budget.max_failed_total, witness.accepted.get(id, 0))
        hold(after.failed(id) <= most, 6, f"a dispatch with {after.failed(id)} failed of {most} allowed")
    if witness.capped and host_id not in before.unhealthy() | after.unhealthy():
        away = after.live() | after.unhealthy()
        hold(len(away) <= witness.cap, 5, f"{len(away)} hosts are away, and {witness.cap} may be")


def _in_a_window(spec: RolloutSpec, now: datetime) -> None:
    if spec.windows:
        hold(any(_within(window, now, spec) for window in spec.windows), 8, f"a go at {now}, outside of windows")


def _within(window: Window, now: datetime, spec: RolloutSpec) -> bool:
    """Tell whether a go at *now* is over within a daily window in UTC; counted by hand."""
    hour, minute = map(int, window.start.split(":"))
    begin = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    cutoff = timedelta(milliseconds=spec.tries.apply_timeout_ms if window.cutoff_ms is None else window.cutoff_ms)
    return begin <= now and now + cutoff <= begin + timedelta(milliseconds=window.duration_ms)
