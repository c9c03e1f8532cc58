"""What the history says of real updates is what engines and registries say of them: containers, images, bytes, times."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.agent.probing import USER_AGENT as LOOK
from tests.lab.centre import Centre
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import DockerRegistry, Registry

pytestmark = pytest.mark.timeout(1500)

APP, REPOSITORY = "ledger", "acme/ledger"
SLACK_MS = 3000
"""By how much the history's own look at a time may differ from the engine's, on a machine that does other things too."""
NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Scene:
    """Two engines of different stores, a mirror that is dead and one that is good; what was done, and what it was before."""

    centre: Centre
    origin: DockerRegistry
    dead: Registry
    good: Registry
    hosts: list[Host]
    digests: dict[str, str] = field(default_factory=dict)
    """Version -> what the origin said that it has."""
    before: dict[str, Any] = field(default_factory=dict)
    """Host -> what its engine said of the container before the update."""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime = field(default_factory=lambda: datetime.now(UTC))

    def push(self, version: str, health: str = "") -> None:
        """Let the tag have one more version."""
        recipe = Recipe(version=version, layers_mib=(1.5, 0.5), health=health, shares=f"ledger-{version}")
        self.digests[version] = str(self.origin.push(REPOSITORY, "stable", recipe))

    def outcomes(self, *query: str) -> list[Any]:
        """Return what the history shows of each outcome that fits."""
        rows = self.centre.ask("history", "ls", *query)["outcomes"]
        return [self.centre.ask("history", "show", row["id"]) for row in rows]

    def sent(self, registry: Registry, host: Host, version: str) -> int:
        """Return the bytes of a version that a registry sent to a host, by its own log."""
        manifest = self.origin.get_json(f"/v2/{REPOSITORY}/manifests/{self.digests[version]}")
        named = {
            self.digests[version],
            manifest["config"]["digest"],
            *(layer["digest"] for layer in manifest["layers"]),
        }
        return registry.sent(host.address, named)


def runs(host: Host) -> Any:
    """Return what the engine says of the container."""
    return json.loads(host.docker("inspect", APP))[0]


@pytest.fixture(scope="module")
def scene(lab: Lab, origin: DockerRegistry) -> Iterator[Scene]:
    """Update two hosts to version 2, and one to a version that never gets healthy, so that it goes back."""
    for generation in (Generation.V20, Generation.V26_CONTAINERD):
        generation.need()
    redis, database = lab.redis("history-redis"), lab.postgresql("history-postgresql")
    hosts = [lab.host("oak-told", Generation.V20), lab.host("elm-told", Generation.V26_CONTAINERD)]
    centre = lab.centre(redis, database.url, "history-centre")
    scene = Scene(centre, origin, lab.dead("history-dead"), lab.cache("history-good"), hosts)
    centre.start()
    scene.push("1")
    for host in hosts:
        host.docker("pull", "--quiet", f"{REPOSITORY}:stable")
        host.docker("run", "--detach", "--name", APP, f"{REPOSITORY}:stable")
        centre.start_agent(host, centre.add_host(host))
        scene.before[host.name] = runs(host)
    policy = lab.place.folder / "history-policy.json"
    mirrors = [{"for": "docker.io", "url": mirror.url} for mirror in (scene.dead, scene.good)]
    policy.write_text(json.dumps({"mirrors": mirrors, "verify": {"settle_ms": 500}}))
    centre.fleet("policy", "apply", "-f", policy)
    eventually("both containers known", lambda: len(centre.ask("ps")["containers"]) == 2, within_s=300, every_s=1)
    scene.began = datetime.now(UTC)
    scene.push("2")
    for host in hosts:
        centre.fleet("update", host.name, timeout_s=300)
    scene.push("3", health="failing")
    centre.fleet("update", hosts[0].name, check=False, timeout_s=180)
    scene.ended = datetime.now(UTC)
    yield scene
    centre.stop()


def test_containers_and_images_are_those_of_the_engines(scene: Scene) -> None:
    for host in scene.hosts:
        (told,) = scene.outcomes(f"host:{host.name}", "outcome:updated")
        update, before, now = told["update"], scene.before[host.name], runs(host)
        assert (update["old_container_id"], update["new_container_id"]) == (before["Id"], now["Id"])
        assert (update["old_image_id"], update["new_image_id"]) == (before["Image"], now["Image"])
        assert (update["old_digest"], update["new_digest"]) == (scene.digests["1"], scene.digests["2"])
        known = json.loads(host.docker("image", "inspect", now["Image"]))[0]["RepoDigests"]
        assert [each.rpartition("@")[2] for each in known] == [scene.digests["2"]]


def test_who_runs_a_digest_is_what_the_engines_run(scene: Scene) -> None:
    eventually(
        "the snapshots after the updates",
        lambda: len(scene.centre.ask("history", "who-runs", scene.digests["2"])["runs"]) == 2,
        within_s=60,
        every_s=1,
    )
    told = {run["host"]: run for run in scene.centre.ask("history", "who-runs", scene.digests["2"])["runs"]}
    for host in scene.hosts:
        run = told[host.name]
        assert (run["container"], run["container_id"], run["state"]) == (APP, runs(host)["Id"], "running")
        assert scene.began <= datetime.fromisoformat(run["since"]) <= scene.ended
        assert scene.good.host in run["mirror"]
    for version in ("1", "3"):
        assert scene.centre.ask("history", "who-runs", scene.digests[version])["runs"] == []


def test_an_update_that_went_back_left_the_container_that_ran_before(scene: Scene) -> None:
    host = scene.hosts[0]
    (told,) = scene.outcomes(f"host:{host.name}", "outcome:failure")
    assert (told["update"]["result"], told["update"]["new_digest"]) == ("rolled_back", scene.digests["3"])
    assert told["update"]["old_container_id"] == runs(host)["Id"]
    assert "HEALTHCHECK ended with code 1" in told["update"]["reason"]
    (change,) = scene.centre.ask("history", "changes", host.name, "--since", "1h")["changes"]
    assert (change["before"], change["after"]) == (scene.digests["1"], scene.digests["2"])
    assert (change["updates"], change["changed"], change["failures"]) == (2, 1, 1)
    (link,) = scene.centre.ask("history", "chain", host.name, APP)["outcomes"]
    assert (link["old_digest"], link["new_digest"]) == (scene.digests["1"], scene.digests["2"])


def test_bytes_are_those_of_the_registries_logs(scene: Scene) -> None:
    """Of every pull and every source, byte by byte; the sum of a day is the sum of the logs.

    Looks at the mirrors take bytes too, which are in the logs under their own name and in no pull's history.
    """
    scene.centre.fleet("mirror", "test", check=False, timeout_s=120)
    looks = [row for row in scene.good.asked("blobs") if row.agent == LOOK]
    assert {row.client for row in looks} == {host.address for host in scene.hosts}
    whole = 0
    pulled = [(host, "2") for host in scene.hosts] + [(scene.hosts[0], "3")]
    for host, version in pulled:
        (told,) = scene.outcomes(
            f"host:{host.name}", f"digest:{scene.digests[version]}", f"-digest:{_older(scene, version)}"
        )
        pull = told["pull"]
        tried = {attempt["mirror"]: attempt for attempt in pull["attempts"]}
        assert scene.good.host in pull["mirror"]
        sent = scene.sent(scene.good, host, version)
        assert tried[pull["mirror"]]["bytes"] == sent > 1_000_000
        assert (tried[pull["mirror"]]["verified"], tried[pull["mirror"]]["role"]) == (True, "mirror")
        (dead,) = [attempt for source, attempt in tried.items() if scene.dead.host in source]
        assert (dead["bytes"], dead["result"] in ("unreachable", "breaker_open")) == (0, True)
        assert not any(
            row.place.tail in _layers(scene, version) for row in scene.origin.asked("blobs", client=host.address)
        )
        whole += sent
    days = scene.centre.ask("history", "mirrors", scene.good.host)
    assert sum(day["bytes"] for day in days["days"]) == whole
    assert sum(day["pulls"] for day in days["days"]) == len(pulled)
    assert {served["host"] for served in days["served"]} == {host.name for host in scene.hosts}


def _older(scene: Scene, version: str) -> str:
    """Return the digest that an update away from *version* would bring: queries by digest find both ends."""
    return scene.digests[{"2": "3", "3": "1"}[version]]


def _layers(scene: Scene, version: str) -> set[str]:
    """Return the layers that no earlier version has."""
    first, this = (
        {layer["digest"] for layer in scene.origin.get_json(f"/v2/{REPOSITORY}/manifests/{digest}")["layers"]}
        for digest in (scene.digests["1"], scene.digests[version])
    )
    return this - first


def test_times_are_those_of_the_engines_events(scene: Scene) -> None:
    for host in scene.hosts:
        (told,) = scene.outcomes(f"host:{host.name}", "outcome:updated")
        update = told["update"]
        assert scene.began <= datetime.fromisoformat(update["recorded_at"]) <= scene.ended
        assert scene.began <= datetime.fromisoformat(update["finished_at"]) <= scene.ended
        at = _events(host, scene)
        died = at[update["old_container_id"], "die"]
        asked = at.get((update["old_container_id"], "kill"), died)
        started = at[update["new_container_id"], "start"]
        assert (started - died) / NS_PER_MS <= update["downtime_ms"] + 50
        assert update["downtime_ms"] <= (started - asked) / NS_PER_MS + SLACK_MS
        assert update["stop_ms"] + update["start_ms"] <= update["downtime_ms"] + SLACK_MS


def _events(host: Host, scene: Scene) -> dict[tuple[str, str], int]:
    """Return when the engine did what to which container, in nanoseconds since 1970; of several times, the first."""
    between = ("--since", str(int(scene.began.timestamp())), "--until", str(int(scene.ended.timestamp()) + 1))
    found: dict[tuple[str, str], int] = {}
    for line in host.docker("events", *between, "--filter", "type=container", "--format", "{{json .}}").splitlines():
        event = json.loads(line)
        found.setdefault((event["Actor"]["ID"], event["Action"].partition(":")[0]), event["timeNano"])
    return found


def test_durations_comparison_and_audit_tell_of_just_these_updates(scene: Scene) -> None:
    ask = scene.centre.ask
    told = {row["update"]["id"]: row["update"] for row in scene.outcomes()}
    assert len(told) == 3
    durations = ask("history", "durations")
    assert durations["looked_at"] == 3
    (pull,) = [phase for phase in durations["phases"] if phase["phase"] == "pull"]
    assert pull["most_ms"] == max(update["pull_ms"] for update in told.values())
    (compared,) = ask("history", "compared")["rows"]
    assert (compared["role"], compared["pulls"]) == ("mirror", 3)
    acts = ask("audit")["acts"]
    added = {act["subject"] for act in acts if act["action"] == "host add"}
    assert added == {host.name for host in scene.hosts}
    assert {(act["who"], act["door"]) for act in acts} == {("person:root", "socket")}


def test_each_source_of_a_route_is_asked_when_somebody_wants_to_know(scene: Scene) -> None:
    """The mirrors by the host and the registry by the centre, about the very image, with what each says of it now."""
    newest = scene.digests["3"]
    for host in scene.hosts:
        asked = scene.centre.ask("mirror", "explain", f"{REPOSITORY}:stable", "--host", host.name, "--ask")
        (route,) = asked["routes"]
        assert [(stop["role"], stop["state"], stop["digest"]) for stop in route["sources"]] == [
            ("mirror", "down", ""),
            ("mirror", "ok", newest),
            ("origin", "ok", newest),
        ]
        assert route["sources"][1]["took_ms"] > 0
        assert min(stop["looked_at"] for stop in route["sources"]) > scene.ended.isoformat()
