"""A snapshot holds what the centre needs, no secret, and is the same for the same state."""

import errno
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fleet.images.digest import Digest
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.updates.images import KnownImages
from fleet.updates.known import KnownDigests
from fleet.updates.observe import needs_of, observe, snapshot_hash
from fleet.updates.snapshot import SOURCE_LABELS

DIGEST = Digest.of(b"app")


@pytest.fixture
def engine() -> MemoryEngine:
    """An engine with two containers."""
    engine = MemoryEngine(ManualClock())
    engine.add_image("app:1", digest=str(DIGEST), Healthcheck={"Test": ["CMD", "x"]})
    engine.add_image("other:1")
    labels = {
        "fleet.enable": "false",
        "com.docker.compose.project": "shop",
        SOURCE_LABELS[0]: "https://a",
        "token": "secret",
    }
    engine.run("web", "app:1", Env=["TOKEN=secret"], Labels=labels)
    engine.run("aside", "other:1")
    return engine


@pytest.fixture
def known(tmp_path: Path) -> KnownDigests:
    """An empty memory."""
    return KnownDigests(tmp_path / "known.json")


def test_a_container_is_told_with_what_steers_it(engine: MemoryEngine, known: KnownDigests) -> None:
    aside, web = observe(engine, known)
    assert (aside.name, web.name) == ("aside", "web")
    assert web.reference == "app:1"
    assert web.digests == (str(DIGEST),)
    assert web.platform == "linux/amd64"
    assert (web.state, web.health, aside.health) == ("running", "starting", "")
    assert web.labels == {"fleet.enable": "false", "com.docker.compose.project": "shop", SOURCE_LABELS[0]: "https://a"}
    assert (web.own, aside.own) == (("Config.Env.TOKEN", "Config.Labels.fleet.enable"), ())
    assert not web.local_build
    assert "secret" not in str(asdict(web))


def test_a_container_is_told_with_the_places_where_it_keeps_something(
    engine: MemoryEngine, known: KnownDigests
) -> None:
    """Neither what it only reads, nor a socket of its host, nor what is gone with it."""
    binds = ["data:/data", "/srv/config:/config", "/etc/hosts:/etc/hosts:ro", "/run/docker.sock:/var/run/docker.sock"]
    engine.run("db", "app:1", HostConfig={"Binds": binds, "Tmpfs": {"/tmp": ""}})
    kept = {state.name: state.keeps for state in observe(engine, known)}
    assert kept == {"aside": (), "db": ("/config", "/data"), "web": ()}


def test_the_same_state_has_the_same_hash_in_any_order(engine: MemoryEngine, known: KnownDigests) -> None:
    first = observe(engine, known)
    assert snapshot_hash(first) == snapshot_hash(tuple(reversed(observe(engine, known))))
    engine.clock.sleep(5)
    assert snapshot_hash(observe(engine, known)) != snapshot_hash(first), "web became healthy"


def test_a_digest_that_the_engine_forgets_is_remembered(engine: MemoryEngine, known: KnownDigests) -> None:
    observe(engine, known)
    for image in engine.world.images.images.values():
        image.digests.clear()
    assert observe(engine, known)[1].digests == (str(DIGEST),)


def test_a_full_disk_hides_nothing_and_is_made_good(
    engine: MemoryEngine, known: KnownDigests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert observe(engine, known)[1].digests == (str(DIGEST),)
    (image,) = [each.image_id for each in observe(engine, known) if each.name == "web"]
    assert KnownDigests(tmp_path / "known.json").get(image, "docker.io/library/app") == DIGEST


def test_an_image_without_any_digest_was_built_here(engine: MemoryEngine, known: KnownDigests) -> None:
    for image in engine.world.images.images.values():
        image.digests.clear()
    assert observe(engine, known)[1].local_build


def test_an_image_that_the_engine_lost_is_no_build_of_this_host(engine: MemoryEngine, known: KnownDigests) -> None:
    observe(engine, known)
    engine.world.images.images.clear()
    web = observe(engine, known)[1]
    assert web.digests == (str(DIGEST),)
    assert not web.local_build
    assert web.platform == ""


def test_a_container_that_goes_away_meanwhile_is_left_out(
    engine: MemoryEngine, known: KnownDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = engine.container_ids(all=True)
    engine.remove("aside", force=True)
    monkeypatch.setattr(engine, "container_ids", lambda *, all: listed)
    assert [state.name for state in observe(engine, known)] == ["web"]


def test_of_an_image_that_the_engine_lost_it_is_remembered_what_was_its_own(
    engine: MemoryEngine, known: KnownDigests, tmp_path: Path
) -> None:
    """Else all of it would be told as its user's, and a plan would say that nothing changes."""
    images = KnownImages(tmp_path / "images")
    first = observe(engine, known, images)
    engine.world.images.images.clear()
    again = observe(engine, known, images)
    assert [(each.own, each.platform) for each in again] == [(each.own, each.platform) for each in first]


def test_images_that_run_are_remembered_and_others_forgotten(
    engine: MemoryEngine, known: KnownDigests, tmp_path: Path
) -> None:
    """An engine may lose an image that a container still runs; its config tells what the user did not set."""
    memory = KnownImages(tmp_path / "images")
    _, web = observe(engine, known, memory)
    engine.world.images.images.clear()
    observe(engine, known, memory)
    assert memory.get(web.image_id)["Config"]["Healthcheck"] == {"Test": ["CMD", "x"]}
    engine.remove("web", force=True)
    observe(engine, known, memory)
    assert memory.get(web.image_id) == {}


def test_a_damaged_memory_knows_nothing(tmp_path: Path) -> None:
    memory = KnownImages(tmp_path)
    memory.put({"Id": "sha256:1", "Config": {}})
    for file in tmp_path.iterdir():
        file.write_text("{")
    assert memory.get("sha256:1") == {}


def test_needs_are_those_of_other_containers_alone() -> None:
    """Engines leave out, or say null, where there is nothing."""
    host: dict[str, Any] = {
        "NetworkMode": "bridge",
        "PidMode": "host",
        "IpcMode": None,
        "VolumesFrom": None,
        "Links": None,
    }
    assert needs_of({"HostConfig": host}, {}) == ()
    host = {
        "NetworkMode": "container:abc",
        "VolumesFrom": ["data:ro"],
        "Links": ["/db:sql"],
        "IpcMode": "container:abc",
    }
    assert needs_of({"HostConfig": host}, {"abc": "vpn"}) == ("network:vpn", "ipc:vpn", "volumes:data", "link:db")
