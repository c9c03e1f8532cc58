"""Rollouts in waves over eight real engines, while the agents, and the centre's own processes, are killed at random.

What came of it is counted from the engines' events, not from what Fleet says of itself.
"""

import json
import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from fleet.images.digest import Digest
from tests import needs
from tests.lab.centre import Centre
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.scenarios.small_fleet import doom, start_mortal_agent

NAMES = ("ash", "elm", "fir", "gum", "oak", "sal", "tea", "yew")
SMALL = 3
APP, REPOSITORY, TAG = "web", "team/web", "stable"
PATIENCE_S = 240.0
SILENT_AFTER_S = 900
SEED = 20
KILLS = 6
"""Processes that are killed in one rollout, a few seconds apart."""
EVERY_S = 4.0
DEATHS = ("update:swap", "update:verify")
"""Writes of the journal at which an agent dies: one with no container running, one with the new one."""
WAVES = """
waves:
  - {size: 1, min_successes: 1, soak: 2s, success_pct: 100, on_failure: rollback}
  - {size: 3, success_pct: 60, soak: 2s, tolerance_pct: 0}
  - {size: rest, success_pct: 100, tolerance_pct: 0}
offline: {policy: park}
try: {dispatch_ttl: 2m, max: 8, backoff: 1s, retry_on: [infrastructure, timeout]}
"""
"""No failure is forgiven: an agent that dies in the middle of an update must not count as one. Two of the middle wave are
enough, since where a host is switched off chance says whether it is in that one or in the last."""
AHEAD = """
waves:
  - {size: 1, soak: 1h, prefetch_next: true}
  - {size: 1}
  - {size: rest}
"""
"""While the first wave soaks, the one host of the second may pull, and the third one's may not yet."""


@dataclass(slots=True)
class Forest:
    """A centre, and hosts with one container each."""

    lab: Lab
    centre: Centre
    database: Any
    hosts: list[Host]
    switched_off: set[str] = field(default_factory=set)

    def push(self, version: str, health: str = "good") -> Digest:
        """Let the tag name another version."""
        recipe = Recipe(version=version, health=health, shares=APP)
        return self.lab.registries["origin"].push(REPOSITORY, TAG, recipe)

    def start_agent(self, host: Host) -> None:
        """Start the agent of *host*, as systemd would."""
        start_mortal_agent(self.centre, host)

    def begin_rollout(self, canaries: Sequence[Host] = ()) -> str:
        """Plan what is new for all hosts, and order it in three waves; the first host is one of *canaries*, or any."""
        names = ", ".join(host.name for host in canaries or self.hosts)
        return self.order(WAVES.replace("{size: 1,", f"{{size: 1, selector: {{hosts: [{names}]}},"))

    def order(self, waves: str) -> str:
        """Plan what is new for all hosts, order it with this spec, and return the rollout."""
        spec = self.lab.place.folder / "waves.yaml"
        spec.write_text(waves)
        told = self.centre.fleet("rollout", "start", "--spec", spec, "--detach", "-o", "json")
        return str(json.loads(told)["rollout_id"])

    def ask(self, sql: str) -> list[str]:
        """Return the rows of a question to the database."""
        return [row for row in self.database.ask(sql).splitlines() if row]

    def state(self, rollout: str) -> str:
        """Return the state of a rollout."""
        return self.ask(f"select state from rollouts where id = '{rollout}'")[0]

    def supervise(self) -> None:
        """Start again what has ended and was not switched off."""
        for host in self.hosts:
            if host.name not in self.switched_off and not self.centre.agents[host.name].alive():
                self.start_agent(host)

    def ended(self, rollout: str) -> str:
        """Wait until a rollout is over, and return how it ended."""

        def over() -> bool:
            self.supervise()
            return bool(self.ask(f"select 1 from rollouts where id = '{rollout}' and ended_at is not null"))

        eventually(f"the end of rollout {rollout}", over, within_s=PATIENCE_S, every_s=0.5)
        return self.state(rollout)

    def results(self, rollout: str, host: Host) -> list[str]:
        """Return what came of each try of a host, the last one last; of those that the end of its agent cut off, that."""
        sql = f"""select case when u.interrupted then 'interrupted' else u.result end from updates u
            join hosts h on h.id = u.host_id where u.rollout_id = '{rollout}' and h.name = '{host.name}' order by u.id"""
        return self.ask(" ".join(sql.split()))

    def version(self, host: Host) -> str:
        """Return the version that runs on *host*."""
        template = '{{.State.Running}} {{index .Config.Labels "org.opencontainers.image.version"}}'
        running, _, version = host.docker("inspect", "--format", template, APP).partition(" ")
        return version if running == "true" else f"{version} (not running)"

    def made(self, host: Host, since: int) -> int:
        """Return how many containers were made on *host* since an instant, by the engine's own events."""
        until = ("--since", str(since), "--until", str(self.now() + 1), "--filter", "type=container")
        told = host.docker("events", *until, "--filter", "event=create", "--format", "{{.Actor.Attributes.name}}")
        return len(told.split())

    def now(self) -> int:
        """Return the time, seconds since 1970."""
        return int(float(self.database.ask("select extract(epoch from now())")))

    def settle(self, version: str) -> None:
        """Wait until the centre has what runs, and what the tag is."""
        digest = "select digest from tags where digest is not null"

        def known() -> bool:
            return len(self.ask("select 1 from containers where name = 'web'")) == len(self.hosts) and bool(
                self.ask(digest)
            )

        eventually(f"{len(self.hosts)} containers of version {version} known", known, within_s=PATIENCE_S, every_s=0.5)


class Murderer(threading.Thread):
    """Kills an agent or one of the centre's processes every few seconds, from a seed; a bounded number of times."""

    def __init__(self, forest: Forest, seed: int, kills: int = KILLS) -> None:
        super().__init__(daemon=True)
        self.forest, self.random, self.kills = forest, random.Random(seed), kills
        self.killed: list[str] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Kill."""
        while len(self.killed) < self.kills and not self._over.wait(EVERY_S * self.random.uniform(0.5, 1.5)):
            if self.random.random() < 0.7:
                name = self.random.choice([h.name for h in self.forest.hosts if h.name not in self.forest.switched_off])
                self.forest.centre.agents[name].kill()
                self.killed.append(name)
            else:
                self.killed.append(process := self.random.choice(["planner", "inbox", "beat"]))
                if pid := self.forest.centre.child(process):
                    os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Let no more be killed."""
        self._over.set()
        self.join(30)


def plant(lab: Lab, names: tuple[str, ...]) -> Forest:
    """Start a centre, and an engine with an agent for each name; version 1 runs everywhere."""
    lab.origin()
    redis, database = lab.redis(), lab.postgresql()
    kinds = (Generation.V20, Generation.V26)
    hosts = [lab.host(name, kinds[number % 2], wait=False) for number, name in enumerate(names)]
    lab.ready()
    centre = lab.centre(redis, database.url, FLEET_CHECK_EVERY_S="2", FLEET_INBOX_RETRY_S="2")
    centre.start()
    forest = Forest(lab=lab, centre=centre, database=database, hosts=hosts)
    forest.push("1")

    def begin(host: Host) -> None:
        host.docker("pull", "--quiet", f"{REPOSITORY}:{TAG}")
        host.docker("run", "--detach", "--name", APP, "--restart", "unless-stopped", f"{REPOSITORY}:{TAG}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, hosts))
    for host in hosts:
        centre.add_host(host)
        forest.start_agent(host)
    policy = lab.place.folder / "policy.json"
    policy.write_text(json.dumps({"verify": {"settle_ms": 300}}))
    centre.fleet("policy", "apply", "-f", policy)
    forest.settle("1")
    return forest


@pytest.fixture(scope="module")
def forest(request: pytest.FixtureRequest) -> Iterator[Forest]:
    """Eight hosts, or those few that a test asks for."""
    needs.lab()
    Generation.V26.need()
    names = NAMES[: getattr(request, "param", len(NAMES))]
    with Lab() as lab:
        yield plant(lab, names)


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before a rollout."""

    at: int
    ids: dict[str, str]

    @classmethod
    def of(cls, forest: Forest) -> "Before":
        """Look at every engine."""
        return cls(forest.now(), {h.name: h.docker("inspect", "--format", "{{.Id}}", APP) for h in forest.hosts})


def assert_all_run(forest: Forest, version: str, before: Before, rollout: str) -> None:
    """Assert that *version* runs everywhere and alone, once by SQL, and that no engine made more than SQL has tries of."""
    for host in forest.hosts:
        assert forest.version(host) == version, host.name
        assert host.docker("ps", "--all", "--format", "{{.Names}}").split() == [APP]
        tries = forest.results(rollout, host)
        assert tries[-1] == "updated", tries
        assert set(tries[:-1]) <= {"interrupted"}, tries
        assert 1 <= forest.made(host, before.at) <= len(tries), (
            f"{host.name} made {forest.made(host, before.at)} in {tries}"
        )


def counts(forest: Forest, rollout: str) -> dict[str, int]:
    """Return how many hosts are in which state, counted by SQL."""
    sql = f"select state, count(*) from rollout_hosts where rollout_id = '{rollout}' group by state"
    return {state: int(number) for state, number in (row.split("|") for row in forest.ask(sql))}


def outdated(forest: Forest, digest: Digest) -> None:
    """Have the centre ask what the tag is now, and wait until it knows."""
    forest.centre.fleet("outdated", "--check")
    sql = f"select 1 from tags where digest = '{digest}'"
    eventually("the tag's new digest known", lambda: bool(forest.ask(sql)), within_s=PATIENCE_S, every_s=0.5)


def roll_out_good(forest: Forest, seed: int, *, moves: bool) -> None:
    """Bring a good version to all hosts in three waves under kills; where the tag *moves*, none gets what it names then.

    The agents of two hosts die in the middle of their update besides, whatever the seed says.
    """
    planned = forest.push("2")
    outdated(forest, planned)
    before = Before.of(forest)
    doomed = dict(zip(forest.hosts, DEATHS, strict=False))
    for host, write in doomed.items():
        doom(host, write)
    rollout = forest.begin_rollout()
    murderer = Murderer(forest, seed, kills=KILLS if len(forest.hosts) > SMALL else 2)
    murderer.start()
    try:
        if moves:
            passed = f"select 1 from waves where rollout_id = '{rollout}' and number = 0 and state = 'passed'"

            def first_is_through() -> bool:
                forest.supervise()
                return bool(forest.ask(passed))

            eventually("the canary", first_is_through, within_s=PATIENCE_S, every_s=0.5)
            assert forest.push("2-moved") != planned
        assert forest.ended(rollout) == "completed", murderer.killed
    finally:
        murderer.end()
        forest.supervise()
    assert murderer.killed
    assert counts(forest, rollout) == {"succeeded": len(forest.hosts)}
    assert_all_run(forest, "2", before, rollout)
    assert all("interrupted" in forest.results(rollout, host) for host in doomed)
    told = forest.ask(f"select distinct new_digest from updates where rollout_id = '{rollout}' and result = 'updated'")
    assert told == [str(planned)]


def stop_at_the_canary(forest: Forest) -> None:
    """A bad version reaches the canary alone, which goes back; nobody else is touched."""
    was = {host.name: forest.version(host) for host in forest.hosts}
    outdated(forest, forest.push("3", health="failing"))
    before = Before.of(forest)
    rollout = forest.begin_rollout()
    assert forest.ended(rollout) == "rolled_back"
    assert {host.name: forest.version(host) for host in forest.hosts} == was
    made = {host.name: forest.made(host, before.at) for host in forest.hosts}
    assert sorted(made.values()) == [0] * (len(forest.hosts) - 1) + [1], made
    assert Before.of(forest).ids == before.ids, "every host runs the very container that it ran before"
    assert counts(forest, rollout) == {"failed": 1, "cancelled": len(forest.hosts) - 1}


def pull_ahead(forest: Forest) -> None:
    """While the canary soaks, the host of the next wave gets its layers, runs on untouched, and needs none at its turn."""
    outdated(forest, forest.push("5"))
    before = Before.of(forest)
    rollout = forest.order(AHEAD)
    hosts = "select h.name from rollout_hosts r join hosts h on h.id = r.host_id"
    names = forest.ask(f"{hosts} where r.rollout_id = '{rollout}' order by r.wave")
    canary, second, third = (next(host for host in forest.hosts if host.name == name) for name in names)
    eventually("the layers of the second wave", lambda: has_image(second, "5"), within_s=PATIENCE_S, every_s=0.5)
    assert forest.ask(f"select state from waves where rollout_id = '{rollout}' order by number") == [
        "soaking",
        "pending",
        "pending",
    ]
    assert forest.version(canary) == "5" and not has_image(third, "5")
    assert [Before.of(forest).ids[host.name] for host in (second, third)] == [
        before.ids[host.name] for host in (second, third)
    ]
    assert [forest.made(host, before.at) for host in (second, third)] == [0, 0]

    def fetched(purpose: str) -> list[str]:
        mine = f"p.host_id = (select id from hosts where name = '{second.name}') and p.purpose = '{purpose}'"
        ordered = f"p.command_id in (select id from commands where rollout_id = '{rollout}')"
        return forest.ask(f"select p.bytes > 0 from pulls p where {mine} and {ordered}")

    eventually("what was pulled ahead known", lambda: fetched("prefetch"), within_s=PATIENCE_S, every_s=0.5)
    assert fetched("prefetch") == ["t"]
    # An hour is not waited for.
    forest.database.ask(f"update waves set soak_since = soak_since - interval '1 h' where rollout_id = '{rollout}'")
    assert forest.ended(rollout) == "completed"
    assert_all_run(forest, "5", before, rollout)
    assert fetched("update") == ["f"], "nothing had to be fetched any more"


def has_image(host: Host, version: str) -> bool:
    """Tell whether the engine of *host* holds the image of *version*."""
    return bool(host.docker("images", "--quiet", "--filter", f"label=org.opencontainers.image.version={version}"))


@pytest.mark.full
@pytest.mark.parametrize("forest", [SMALL], indirect=True, ids=["three hosts that pull ahead"])
def test_hosts_of_the_next_wave_pull_ahead_and_are_not_touched(forest: Forest) -> None:
    pull_ahead(forest)


@pytest.mark.full
@pytest.mark.parametrize("forest", [SMALL], indirect=True, ids=["three hosts"])
def test_three_hosts_in_three_waves_and_a_canary_that_goes_back(forest: Forest) -> None:
    roll_out_good(forest, SEED, moves=True)
    stop_at_the_canary(forest)


@pytest.mark.full
@pytest.mark.parametrize("forest", [len(NAMES)], indirect=True, ids=["eight hosts"])
class TestEightHosts:
    """In any order, over the same eight engines."""

    def test_a_rollout_completes_though_the_tag_moves_and_processes_are_killed(self, forest: Forest) -> None:
        roll_out_good(forest, SEED, moves=True)

    def test_a_bad_image_stops_at_the_canary_goes_back_and_touches_nobody_else(self, forest: Forest) -> None:
        stop_at_the_canary(forest)

    def test_a_host_that_is_switched_off_is_parked_and_catches_up(self, forest: Forest) -> None:
        """The centre is told that it has been silent for long: a test does not wait for a quarter of an hour."""
        outdated(forest, forest.push("4"))
        before = Before.of(forest)
        away = forest.hosts[-1]
        forest.switched_off.add(away.name)
        forest.centre.agents[away.name].kill()
        forest.database.ask(
            f"update hosts set last_seen_at = last_seen_at - interval '{SILENT_AFTER_S + 60} s' where name = '{away.name}'"
        )
        # No silence passes a canary: all would wait for a first host that is away.
        rollout = forest.begin_rollout(canaries=forest.hosts[:-1])
        others = {"succeeded": len(forest.hosts) - 1, "parked": 1}
        eventually("all others", lambda: counts(forest, rollout) == others, within_s=PATIENCE_S, every_s=0.5)
        assert forest.version(away) != "4"
        assert forest.state(rollout) == "running"
        forest.switched_off.clear()
        forest.start_agent(away)
        assert forest.ended(rollout) == "completed"
        assert_all_run(forest, "4", before, rollout)
        assert counts(forest, rollout) == {"succeeded": len(forest.hosts)}
