"""A pull brings the pinned digest under the user's name, tells who gave it, and leaves the old image alone where it fails."""

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from fleet.clock import SystemClock
from fleet.engine.protocol import EngineFacts, PullEvent
from fleet.errors import EngineError, EngineUnreachable
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.testing.engine import MemoryEngine
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.outcome import PullOutcome, Tier
from fleet.updates.pull import Puller, PullProgress
from fleet.updates.stream import EnginePull
from tests.gateway.docking import Dock, pulling
from tests.gateway.harbour import PATIENT

LAYERS = [os.urandom(200_000)]


class Quay:
    """An engine in memory whose pulls are real requests, an origin, two mirrors, and a puller."""

    def __init__(self, folder: Path, registries: list[ScriptedRegistry]) -> None:
        self.origin, self.one, self.two = registries
        (self.digest,) = {r.shelf.add_image("org/app", "1", layers=LAYERS) for r in registries}
        self.engine = MemoryEngine(SystemClock(), puller=pulling)
        self.known = KnownDigests(folder / "known.json")
        self.folder = folder
        self.host = HostMirrors(rules=parse_mirrors([{"url": self.one.url}, {"url": self.two.url}]))
        self.told: list[PullProgress] = []
        self.puller = self.new_puller()
        self.policy = Policy()

    def new_puller(self, **more: Any) -> Puller:
        """Make a puller as the agent does at its start."""
        given: dict[str, Any] = {"port": 0, "clock": SystemClock()} | more
        return Puller(
            self.engine,
            state=self.folder,
            known=self.known,
            host_mirrors=lambda: self.host,
            credentials=NoCredentials(),
            limits=PATIENT,
            **given,
        )

    @property
    def reference(self) -> Reference:
        """The image as a user writes it."""
        return Reference.parse(f"{self.origin.host}/org/app:1")

    def pull(self, stop: Callable[[], bool] = lambda: False, pull_id: UUID | None = None) -> PullOutcome:
        """Pull the digest."""
        return self.puller.pull(
            self.reference,
            self.digest,
            pull_id=pull_id or uuid4(),
            policy=self.policy,
            progress=self.told.append,
            stop=stop,
            containers=("web", "web-2"),
        )

    def image(self) -> dict[str, Any]:
        """Return what the user's name is on the engine."""
        return self.engine.image(self.reference.familiar) or {}


@pytest.fixture
def quay(tmp_path: Path) -> Iterator[Quay]:
    """Start everything."""
    with ScriptedRegistry() as origin, ScriptedRegistry() as one, ScriptedRegistry() as two:
        made = Quay(tmp_path, [origin, one, two])
        yield made
        made.puller.close()


def test_the_image_has_the_users_name_and_no_other(quay: Quay) -> None:
    outcome = quay.pull()
    assert (outcome.ok, outcome.reason, outcome.tier) == (True, "", Tier.LOOPBACK)
    assert quay.image()["Id"] == outcome.image_id
    assert quay.image()["RepoTags"] == [quay.reference.familiar]
    assert not any("127.0.0.1" in n and "org/app" not in n for n in quay.engine.image_names())
    assert not [n for n in quay.engine.image_names() if "--" in n]


def test_it_tells_who_gave_every_byte(quay: Quay) -> None:
    quay.one.faults.add(Fault.WRONG_BYTES, kind="blobs")
    outcome = quay.pull()
    assert [a.result for a in outcome.attempts] == ["wrong_bytes", "served", "unused"]
    assert outcome.mirror == quay.two.url
    assert outcome.bytes == sum(a.bytes for a in outcome.attempts) > 200_000
    assert outcome.reference == f"{quay.reference}@{quay.digest}"


def test_the_digest_is_remembered_for_stores_that_forget_it(quay: Quay) -> None:
    outcome = quay.pull()
    assert quay.known.get(outcome.image_id, quay.reference.name) == quay.digest


def test_no_byte_waits_for_what_the_engine_tells_of_itself(quay: Quay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones think about it for as long as a small layer takes; its platform was told when its way was found."""
    quay.puller.open()
    facts, seen = quay.engine.facts, []

    def thinking() -> EngineFacts:
        until = time.monotonic() + 30
        while not any(entry.kind == "blobs" for entry in quay.one.log) and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(any(entry.kind == "blobs" for entry in quay.one.log))
        return facts()

    monkeypatch.setattr(quay.engine, "facts", thinking)
    assert quay.pull().ok
    assert seen == [True]


def test_an_image_that_is_there_costs_no_request(quay: Quay) -> None:
    first = quay.pull()
    asked = len(quay.one.log)
    second = quay.pull()
    assert (second.tier, second.ok, second.image_id, second.bytes) == (Tier.PRESENT, True, first.image_id, 0)
    assert len(quay.one.log) == asked


def test_an_image_that_is_there_gets_the_users_tag_back(quay: Quay) -> None:
    outcome = quay.pull()
    quay.engine.add_image(quay.reference.familiar)
    assert quay.image()["Id"] != outcome.image_id
    assert quay.pull().tier is Tier.PRESENT
    assert quay.image()["Id"] == outcome.image_id


def test_a_failed_pull_leaves_the_old_image_under_its_name(quay: Quay) -> None:
    """The docker library calls such a pull a success and hands out the old image."""
    old = quay.engine.add_image(quay.reference.familiar)
    for registry in (quay.origin, quay.one, quay.two):
        registry.faults.add(Fault.STATUS, kind="blobs", status=404)
    outcome = quay.pull()
    assert not outcome.ok
    assert outcome.image_id == ""
    assert outcome.reason.startswith("cannot get the layer")
    assert quay.one.url in outcome.reason
    assert quay.image()["Id"] == old.id
    assert [a.result for a in outcome.attempts] == ["not_found"] * 3


def test_a_digest_that_no_source_has_fails_before_the_engine_is_asked(quay: Quay) -> None:
    quay.puller.open()
    quay.engine.calls.clear()
    quay.digest = Digest.of(b"nothing")
    outcome = quay.pull()
    assert outcome.reason.startswith("cannot get the manifest")
    assert not [call for call in quay.engine.calls if call.name == "pull"]


def test_an_error_line_of_the_engine_is_a_failure(quay: Quay) -> None:
    quay.puller.open()

    def full(engine: MemoryEngine, reference: str, *_: Any) -> Iterator[Any]:
        raise EngineError(f"cannot pull {reference}: failed to register layer: no space left on device")

    quay.engine._puller = full
    outcome = quay.pull()
    assert not outcome.ok
    told = f"cannot pull {quay.reference.familiar}: failed to register layer: no space left on device"
    assert outcome.reason.startswith(told)


def test_an_engine_that_took_another_image_is_not_believed(quay: Quay) -> None:
    other = quay.engine.add_image("other:1")

    def lying(engine: MemoryEngine, reference: str, *_: Any) -> Iterator[Any]:
        named = Reference.parse(reference)
        other.digests.add(f"{named.familiar_name}@{named.digest}")
        return iter(())

    quay.puller.open()
    quay.engine._puller = lying
    outcome = quay.pull()
    assert not outcome.ok
    assert outcome.reason.startswith("cannot trust the engine's image")


def test_an_engine_that_goes_away_is_raised(quay: Quay) -> None:
    quay.engine.fail("pull", EngineUnreachable())
    with pytest.raises(EngineUnreachable):
        quay.pull()


def test_a_pull_that_is_not_wanted_any_more_ends_soon(quay: Quay) -> None:
    for registry in (quay.origin, quay.one, quay.two):
        registry.faults.add(Fault.SLOW, kind="blobs", rate=1_000)
    began = time.monotonic()
    outcome = quay.pull(stop=lambda: time.monotonic() - began > 0.5)
    assert outcome.reason == "cannot go on with the pull: it was stopped"
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("ends", ["agent", "engine"])
def test_who_gave_the_bytes_of_a_pull_that_is_made_again_is_told_by_the_later_one(quay: Quay, ends: str) -> None:
    """The agent ends, or the engine goes away, once the engine has every byte: no outcome tells of that pull."""
    had, ending = threading.Event(), threading.Event()

    def fetching(engine: MemoryEngine, reference: str, auth: Any, platform: str) -> Iterator[Any]:
        named = Reference.parse(reference)
        Dock(named.registry, auth).pull(named.repository, str(named.digest))
        had.set()
        while ends == "agent" and not ending.wait(0.05):
            yield PullEvent(status="Extracting")
        yield from ()
        raise EngineUnreachable

    quay.puller.open()
    quay.engine._puller = fetching
    with pytest.raises(EngineUnreachable) if ends == "engine" else contextlib.nullcontext():
        assert not quay.pull(stop=lambda: ends == "agent" and had.is_set()).ok
    ending.set()
    quay.engine._puller = pulling
    outcome = quay.pull()
    assert outcome.mirror == quay.one.url
    assert outcome.bytes > 200_000
    assert len([entry for entry in quay.one.log if entry.tail.startswith("sha256") and entry.kind == "blobs"]) == 2


def test_a_pull_has_a_deadline(quay: Quay) -> None:
    for registry in (quay.origin, quay.one, quay.two):
        registry.faults.add(Fault.SLOW, kind="blobs", rate=1_000)
    quay.policy = replace(quay.policy, pull_timeout_ms=500)
    assert quay.pull().reason == "cannot wait any longer for the pull"


def test_progress_counts_up_to_the_whole_and_names_the_source(quay: Quay) -> None:
    quay.one.faults.add(Fault.SLOW, kind="blobs", rate=400_000)
    outcome = quay.pull()
    totals = {p.total for p in quay.told if p.total is not None}
    assert totals == {outcome.bytes}
    assert [p.bytes for p in quay.told] == sorted(p.bytes for p in quay.told)
    assert quay.told[-1] == PullProgress(bytes=outcome.bytes, total=outcome.bytes, source=quay.one.url)


def test_the_policys_mirrors_come_before_the_hosts_own(quay: Quay) -> None:
    quay.policy = replace(quay.policy, mirrors=parse_mirrors([{"url": quay.two.url}]))
    assert quay.pull().mirror == quay.two.url


def test_what_a_killed_agent_left_is_swept_and_other_names_stay(quay: Quay) -> None:
    quay.puller.open()
    host = quay.puller._gateway.host  # type: ignore[union-attr]
    port = int(host.rpartition(":")[2])
    quay.puller.close()
    image = quay.engine.add_image("keep:1")
    digest = "sha256:" + "a" * 64
    image.digests |= {f"{host}/docker.io/library/keep@{digest}", f"{host}/mine@{digest}"}
    quay.puller = quay.new_puller(port=port)
    quay.puller.open()
    assert f"{host}/docker.io/library/keep@{digest}" not in image.digests
    assert f"{host}/mine@{digest}" in image.digests
    assert "keep:1" in image.tags


def test_a_reference_without_a_tag_could_not_keep_the_image(quay: Quay) -> None:
    pinned = replace(quay.reference, tag=None, digest=quay.digest)
    outcome = quay.puller.pull(pinned, quay.digest, pull_id=uuid4(), policy=quay.policy, progress=quay.told.append)
    assert outcome.reason.startswith("cannot pull")
    assert not quay.one.log


def test_a_remote_engine_pulls_by_itself_and_nobody_is_named(quay: Quay) -> None:
    quay.engine.url = "tcp://10.0.0.9:2376"  # type: ignore[attr-defined]
    outcome = quay.pull()
    assert (outcome.ok, outcome.tier, outcome.attempts, outcome.mirror) == (True, Tier.DAEMON, (), "")
    assert quay.image()["Id"] == outcome.image_id


def test_a_spool_that_cannot_be_made_leaves_the_pull_to_the_engine(quay: Quay) -> None:
    (quay.folder / "file").write_bytes(b"")
    quay.folder = quay.folder / "file"
    quay.puller = quay.new_puller()
    assert quay.pull().tier is Tier.DAEMON


def test_the_log_names_mirrors_pulls_and_failures(quay: Quay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fleet")
    quay.one.faults.add(Fault.STATUS, kind="blobs", status=503)
    outcome = quay.pull()
    by_phrase = {record.msg: record.__dict__ for record in caplog.records}
    assert [quay.one.url in m for m in by_phrase["Registry Mirrors:"]["mirrors"]] == [True, False]
    failed = by_phrase["mirror failed, trying next"]
    assert (failed["mirror"], failed["reason"]) == (quay.one.url, "it answered 503")
    pulled = by_phrase["pulled image from mirror"]
    assert (pulled["container"], pulled["image"]) == ("web, web-2", f"{quay.origin.host}/org/app:1")
    assert (pulled["mirror"], pulled["bytes"], pulled["digest"]) == (quay.two.url, outcome.bytes, str(quay.digest))
    gave = [record.__dict__["sources"] for record in caplog.records if record.msg == "bytes proved"]
    by_source = {name: sum(each.get(name, 0) for each in gave) for each in gave for name in each}
    assert by_source == {a.source: a.bytes for a in outcome.attempts if a.bytes}


def test_two_images_one_after_the_other_share_the_gateway(quay: Quay) -> None:
    ports = []
    for layer, tag in zip([b"x", b"y"], itertools.count(), strict=False):
        quay.digest = quay.origin.shelf.add_image("org/app", f"n{tag}", layers=[layer])
        assert quay.pull().ok
        ports.append(quay.puller._gateway.port)  # type: ignore[union-attr]
    assert len(set(ports)) == 1
    assert not [t for t in threading.enumerate() if t.name == "engine-pull"]


def test_a_pull_of_an_engine_that_says_nothing_is_cut_off() -> None:
    """And what it breaks off by is no word of the engine."""

    class Silent(Iterator[PullEvent]):
        def __init__(self) -> None:
            self.over = threading.Event()

        def __next__(self) -> PullEvent:
            self.over.wait(60)
            raise EngineError("cannot pull: it was given up")

        def cut(self) -> None:
            self.over.set()

    engine, lines = MemoryEngine(SystemClock()), Silent()
    engine.pull = lambda *_, **__: lines  # type: ignore[method-assign]
    pull = EnginePull(engine, "app:1")
    assert not pull.ended(0.2)
    pull.stop()
    assert pull.ended(60)
    assert pull.error is None
