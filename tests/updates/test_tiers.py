"""By which way an engine gets its images is tried with a canary, and told."""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.clock import SystemClock
from fleet.engine.protocol import PullEvent
from fleet.errors import EngineError, EngineUnreachable
from fleet.gateway.canary import CANARY_HOST, USER
from fleet.gateway.server import Gateway
from fleet.images.reference import Reference
from fleet.mirrors.hosts_credentials import read_authorization
from fleet.mirrors.hosts_toml import read_hosts_toml
from fleet.mirrors.managed_hosts import ManagedHosts
from fleet.registry.credentials import NoCredentials
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine, Puller
from fleet.testing.registry import ScriptedRegistry
from fleet.updates import tiers
from fleet.updates.outcome import Tier
from fleet.updates.tiers import AGAIN_S, find_way
from tests.gateway.docking import Dock, pulling
from tests.updates.test_pull import Quay


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Listen on any port."""
    gateway = Gateway(tmp_path / "spool", credentials=NoCredentials(), clock=SystemClock(), port=0)
    gateway.start()
    yield gateway
    gateway.close()


def by_hosts_toml(folder: Path) -> Puller:
    """Return the pull of an engine that reads hosts.toml below *folder*, as containerd does: each host in turn."""

    def pull(engine: MemoryEngine, reference: str, auth: Any, platform: str) -> Iterator[PullEvent]:
        named = Reference.parse(reference)
        path = folder / named.registry / "hosts.toml"
        if not path.exists():
            yield from pulling(engine, reference, auth, platform)
            return
        found = read_hosts_toml(path.read_bytes(), named.registry, str(path))
        for rule in found.rules:
            shown = read_authorization(found.authorization.get(rule.endpoint.host, ""))
            login = {"username": shown.username, "password": shown.password} if shown else {}
            there = Reference.parse(
                f"{rule.endpoint.host}/{rule.endpoint.repo_prefix}{named.repository}@{named.digest}"
            )
            with contextlib.suppress(EngineError):
                list(pulling(engine, str(there), login, platform))
                (image,) = [one for one in engine.world.images.images.values() if there.familiar in one.digests]
                image.digests.add(f"{named.familiar_name}@{named.digest}")
                image.digests.remove(there.familiar)
                return
        raise EngineError(f"cannot pull {reference}: no host gave it")

    return pull


@pytest.fixture
def quay(tmp_path: Path) -> Iterator[Quay]:
    """Start an engine, an origin, two mirrors and a puller."""
    with ScriptedRegistry() as origin, ScriptedRegistry() as one, ScriptedRegistry() as two:
        made = Quay(tmp_path, [origin, one, two])
        yield made
        made.puller.close()


def test_an_engine_that_asks_is_served_and_keeps_no_canary(gateway: Gateway) -> None:
    engine = MemoryEngine(SystemClock(), puller=pulling)
    for _ in range(2):
        found = find_way(engine, gateway, SystemClock())
        assert (found.tier, found.reason) == (Tier.LOOPBACK, "")
    assert engine.image_names() == []


def test_an_engine_that_cannot_come_here_pulls_by_itself_and_says_why(gateway: Gateway) -> None:
    def refused(engine: MemoryEngine, reference: str, *_: Any) -> Iterator[PullEvent]:
        raise EngineError("cannot pull: dial tcp 127.0.0.1: connect: connection refused")

    found = find_way(MemoryEngine(SystemClock(), puller=refused), gateway, SystemClock())
    assert found.tier is Tier.DAEMON
    assert found.reason.startswith("cannot serve this engine")
    assert "connection refused" in found.reason


def test_an_engine_that_is_silent_is_waited_for_a_while_only(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "CANARY_S", 0.3)

    def silent(engine: MemoryEngine, reference: str, *_: Any) -> Iterator[PullEvent]:
        return iter(lambda: PullEvent(status="Waiting"), None)

    found = find_way(MemoryEngine(SystemClock(), puller=silent), gateway, SystemClock())
    assert (found.tier, "did not ask" in found.reason) == (Tier.DAEMON, True)


def test_an_engine_that_goes_away_is_no_finding(gateway: Gateway) -> None:
    engine = MemoryEngine(SystemClock(), puller=pulling)
    engine.fail("pull", EngineUnreachable())
    with pytest.raises(EngineUnreachable):
        find_way(engine, gateway, SystemClock())


def test_the_canary_is_for_whoever_has_its_secret_and_while_it_is_tried(gateway: Gateway) -> None:
    with gateway.canary("linux", "amd64") as canary:
        path = f"/v2/any/canary/manifests/{canary.digest}"
        for auth in ({}, {"username": USER, "password": "guess"}):
            assert Dock(gateway.host, auth).ask("GET", path)[0] == 401
        assert not canary.asked.is_set()
        mine = Dock(gateway.host, {"username": USER, "password": canary.secret})
        assert mine.pull("any/canary", str(canary.digest))["layers"]
        assert mine.ask("GET", f"/v2/any/canary/blobs/sha256:{'0' * 64}")[0] == 404
        assert canary.asked.is_set()
    assert mine.ask("GET", path)[0] == 401


def test_an_engine_without_a_gateway_is_told_of_and_tried_again_later(quay: Quay) -> None:
    told: list[str] = []
    clock = ManualClock()
    puller = quay.puller = quay.new_puller(tell=told.append, clock=clock)
    quay.engine.fail("pull", EngineError("cannot pull: connection refused"))
    assert quay.pull().tier is Tier.DAEMON
    quay.engine.remove_image(quay.reference.familiar)
    assert [bool(reason) for reason in told] == [True]
    clock.advance(AGAIN_S + 1)
    for name in quay.engine.image_names():
        quay.engine.remove_image(name)
    assert quay.pull().tier is Tier.LOOPBACK
    assert [bool(reason) for reason in told] == [True, False]
    puller.close()


def test_a_gateway_that_could_not_be_opened_is_opened_later(quay: Quay, tmp_path: Path) -> None:
    """The disk or the port may have been without room when the agent began."""
    told: list[str] = []
    clock = ManualClock()
    puller = quay.puller = quay.new_puller(tell=told.append, clock=clock)
    (tmp_path / "spool").write_text("in the way")
    assert quay.pull().tier is Tier.DAEMON
    assert "cannot open the gateway" in told[-1]
    quay.engine.world.images.images.clear()
    (tmp_path / "spool").unlink()
    clock.advance(AGAIN_S + 1)
    assert quay.pull().tier is Tier.LOOPBACK
    assert told[-1] == ""
    puller.close()


class Native(Quay):
    """The same for an image of a registry that is known by mirrors alone."""

    @property
    def reference(self) -> Reference:
        """Return it."""
        return Reference.parse("ghcr.io/org/app:1")


@pytest.fixture
def native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Native]:
    """Let the engine have the containerd store and read hosts.toml, and the agent write it."""
    folder = tmp_path / "certs.d"
    with ScriptedRegistry() as origin, ScriptedRegistry() as one, ScriptedRegistry() as two:
        made = Native(tmp_path, [origin, one, two])
        told = replace(made.engine.facts(), containerd_store=True)
        monkeypatch.setattr(made.engine, "facts", lambda: told)
        made.engine._puller = by_hosts_toml(folder)
        made.puller = made.new_puller(hosts=ManagedHosts(folder))
        yield made
        made.puller.close()


def test_where_the_agent_may_write_hosts_toml_the_image_comes_under_its_own_name(
    native: Native, tmp_path: Path
) -> None:
    outcome = native.pull()
    assert (outcome.ok, outcome.tier) == (True, Tier.NATIVE), outcome.reason
    assert outcome.mirror == native.one.url
    assert native.image()["Id"] == outcome.image_id
    assert not [name for name in native.engine.image_names() if name.startswith("127.0.0.1")]
    assert native.one.url in (tmp_path / "certs.d" / "ghcr.io" / "hosts.toml").read_text()
    assert not (tmp_path / "certs.d" / CANARY_HOST).exists()


def test_a_registry_whose_hosts_toml_is_somebody_elses_comes_by_loopback(native: Native, tmp_path: Path) -> None:
    place = tmp_path / "certs.d" / "ghcr.io" / "ca.crt"
    place.parent.mkdir(parents=True)
    place.write_text("theirs")
    assert native.pull().tier is Tier.LOOPBACK
    assert [path.name for path in place.parent.iterdir()] == ["ca.crt"]


def test_an_engine_that_does_not_read_hosts_toml_comes_by_loopback(native: Native) -> None:
    native.engine._puller = pulling
    assert native.pull().tier is Tier.LOOPBACK


def test_a_folder_that_cannot_be_written_leaves_it_to_loopback(native: Native, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    native.puller = native.new_puller(hosts=ManagedHosts(tmp_path / "file"))
    assert native.pull().tier is Tier.LOOPBACK


def test_files_that_cannot_be_swept_leave_the_pull_as_it_is(native: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that is mounted read-only must not keep every image from coming."""

    def refuse(_: ManagedHosts) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(ManagedHosts, "sweep", refuse)
    outcome = native.pull()
    assert (outcome.ok, outcome.tier) == (True, Tier.NATIVE), outcome.reason
