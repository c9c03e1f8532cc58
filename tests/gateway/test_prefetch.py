"""What the engine will ask for is fetched before it does, each digest once; what it has already is left alone."""

import asyncio
import json
import os

import pytest

from fleet.clock import SystemClock
from fleet.gateway.limits import Limits
from fleet.gateway.prefetch import Prefetch, layers_here
from fleet.gateway.session import Session
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.manifest import Descriptor, Manifest
from fleet.testing.faults import Fault
from fleet.testing.images import build_image
from tests.gateway.harbour import LAYERS, Harbour, served

AMD64 = Platform("linux", "amd64")
DIFF_IDS = tuple(str(Digest.of(layer)) for layer in LAYERS)
"""These layers are no archives: packed or not, they are the same bytes."""


def prefetch(harbour: Harbour, session: Session, *images: tuple[str, ...]) -> None:
    """Do what is done before the engine is told to pull."""
    harbour.gateway.submit(session.prepare(AMD64)).result(60)
    harbour.gateway.submit(session.prefetch(images)).result(60)


def asked(harbour: Harbour) -> list[str]:
    """Return the digests that the first mirror was asked for."""
    return [entry.tail for entry in harbour.mirrors[0].log if entry.kind in ("manifests", "blobs")]


def test_all_is_there_before_the_engine_asks_and_is_fetched_once(harbour: Harbour) -> None:
    session, dock = harbour.open()
    prefetch(harbour, session)
    before = asked(harbour)
    dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    assert asked(harbour) == before
    assert len(before) == len(set(before)) == 2 + len(LAYERS)
    assert session.attempts()[0].bytes == served(harbour.mirrors[0])


@pytest.mark.parametrize("shared", [0, 1, 2, 3])
def test_layers_that_the_engine_has_are_neither_fetched_nor_counted(harbour: Harbour, shared: int) -> None:
    session, _ = harbour.open()
    prefetch(harbour, session, (*DIFF_IDS[:shared], "sha256:other"))
    digests = [str(Digest.of(layer)) for layer in LAYERS]
    assert {d for d in digests if d in asked(harbour)} == set(digests[shared:])
    got, total, _ = session.progress()
    assert got == total
    harbour.gateway.end(session)
    assert served(harbour.mirrors[0]) == got


def test_a_layer_that_was_thought_to_be_there_is_served_and_counted_all_the_same(harbour: Harbour) -> None:
    session, dock = harbour.open()
    prefetch(harbour, session, DIFF_IDS)
    dock.pull(session.name, str(harbour.digest))
    got, total, _ = session.progress()
    assert got == total == sum(map(len, dock.blobs.values()))
    harbour.gateway.end(session)


def test_how_much_there_is_is_not_told_before_it_is_known(harbour: Harbour) -> None:
    session, _ = harbour.open()
    harbour.gateway.submit(session.prepare(AMD64)).result(60)
    assert session.progress()[1] is None
    harbour.gateway.end(session)


def test_what_fails_before_the_engine_asks_is_no_failure_of_the_pull_until_it_does(harbour: Harbour) -> None:
    bad = str(Digest.of(LAYERS[1]))
    for registry in (*harbour.mirrors, harbour.origin):
        registry.faults.add(Fault.STATUS, tail=bad, status=404)
    session, dock = harbour.open()
    prefetch(harbour, session)
    assert session.failure == ""
    assert dock.ask("GET", f"/v2/{session.name}/blobs/{bad}")[0] == 404
    assert session.failure.startswith("cannot get the layer")
    harbour.gateway.end(session)


def test_a_fault_of_our_own_before_the_engine_asks_is_told_and_costs_no_pull(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Prefetch, "run", lambda _: 1 / 0)
    session, dock = harbour.open()
    prefetch(harbour, session)
    assert "layers cannot be fetched before the engine asks" in caplog.text
    dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)


def test_nothing_more_is_fetched_when_the_pull_has_ended(harbour: Harbour) -> None:
    for registry in (*harbour.mirrors, harbour.origin):
        registry.faults.add(Fault.HANG, kind="blobs")
    session, _ = harbour.open()
    harbour.gateway.submit(session.prepare(AMD64)).result(60)
    running = harbour.gateway.submit(session.prefetch(()))
    harbour.gateway.end(session)
    running.result(60)
    assert [d for d in map(str, map(Digest.of, LAYERS)) if d in asked(harbour)] == []


MANIFEST = Manifest.read(build_image(LAYERS).raw)
BROKEN = [
    b"",
    b"[]",
    b"{}",
    b'{"rootfs": null}',
    b'{"rootfs": {"diff_ids": "abc"}}',
    b'{"rootfs": {"diff_ids": ["a"]}}',
]


@pytest.mark.parametrize("config", BROKEN)
def test_a_configuration_that_does_not_tell_means_that_nothing_is_there(config: bytes) -> None:
    assert layers_here(MANIFEST, config, [DIFF_IDS, ("a",)]) == frozenset()


def test_the_image_that_begins_alike_the_longest_counts() -> None:
    config = json.dumps({"rootfs": {"diff_ids": DIFF_IDS}}).encode()
    images = [DIFF_IDS[:1], DIFF_IDS[:2], ("x", *DIFF_IDS)]
    assert layers_here(MANIFEST, config, images) == {layer.digest for layer in MANIFEST.layers[:2]}


def test_a_layer_that_comes_twice_is_there_only_where_both_are() -> None:
    twice = Manifest.read(build_image([LAYERS[0], LAYERS[1], LAYERS[0]]).raw)
    config = json.dumps({"rootfs": {"diff_ids": [DIFF_IDS[0], DIFF_IDS[1], DIFF_IDS[0]]}}).encode()
    assert layers_here(twice, config, [DIFF_IDS[:2]]) == {Digest.of(LAYERS[1])}


@pytest.mark.parametrize(("fast_bytes_s", "most"), [(1.0, 6), (1e15, 3)])
def test_more_than_an_engine_takes_are_fetched_at_a_time_where_the_line_is_fast(fast_bytes_s: float, most: int) -> None:
    at_work, seen, order = 0, 0, []

    async def fetch(layer: Descriptor) -> bool:
        nonlocal at_work, seen
        at_work, seen = at_work + 1, max(seen, at_work + 1)
        order.append(layer)
        for _ in range(3):
            await asyncio.sleep(0)
        at_work -= 1
        return True

    layers = [Descriptor(media_type="", digest=Digest.of(os.urandom(8)), size=10_000_000) for _ in range(20)]
    limits = Limits(fast_bytes_s=fast_bytes_s)
    asyncio.run(Prefetch(layers=layers, fetch=fetch, limits=limits, clock=SystemClock()).run())
    assert (order, seen) == (layers, most)


def test_the_first_that_cannot_be_had_ends_it() -> None:
    fetched: list[Descriptor] = []

    async def fetch(layer: Descriptor) -> bool:
        fetched.append(layer)
        await asyncio.sleep(0)
        return False

    layers = [Descriptor(media_type="", digest=Digest.of(os.urandom(8)), size=1) for _ in range(20)]
    asyncio.run(Prefetch(layers=layers, fetch=fetch, limits=Limits(), clock=SystemClock()).run())
    assert fetched == layers[:3]
