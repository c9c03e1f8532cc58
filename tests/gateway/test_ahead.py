"""A large blob comes in pieces, several at a time, and each byte once, whatever a source does in the middle."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.clock import SystemClock
from fleet.gateway import take
from fleet.gateway.ahead import Ahead, Stretch
from fleet.gateway.limits import Limits
from fleet.gateway.server import Gateway
from fleet.gateway.sink import SpoolFile
from fleet.images.digest import Digest
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.source import Endpoint, Role, Source
from fleet.mirrors.table import MirrorTable
from fleet.registry.proxies import Proxies
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.docking import PullFailed
from tests.gateway.harbour import HANGING, PATIENT, Harbour, Logins, served
from tests.gateway.rude import Asked, rude, sized

PIECE = 128 * 1024
LAYER = os.urandom(7 * PIECE + 1000)
BIG = str(Digest.of(LAYER))
FINE = 5 * PIECE
"""From here on the layer is cut four times finer: all of it but half as many pieces as there are connections."""
STARTS = [*range(0, FINE, PIECE), *range(FINE, len(LAYER), PIECE // 4)]
PIECES = list(zip(STARTS, [*STARTS[1:], len(LAYER)], strict=True))
IN_PIECES = replace(
    PATIENT,
    piece_bytes=PIECE,
    flowing_bytes=10_000,
    fast_bytes_s=1.0,
    ample_bytes_s=1e12,
    connections=4,
    spare_connections=9,
)
IN_PIECES_HANGING = replace(IN_PIECES, patience=HANGING.patience, floor_window_s=HANGING.floor_window_s)
hangs = pytest.mark.parametrize("limits", [pytest.param(IN_PIECES_HANGING, id="hangs")])


@pytest.fixture
def limits() -> Limits:
    """Have patience, and cut a layer into pieces."""
    return IN_PIECES


@pytest.fixture
def harbour(tmp_path: Path, limits: Limits) -> Iterator[Harbour]:
    """Start an origin and two mirrors with an image of one large layer, and a gateway that cuts it into pieces."""
    with ScriptedRegistry() as origin, ScriptedRegistry() as one, ScriptedRegistry() as two:
        (digest,) = {r.shelf.add_image("org/app", "1", layers=[LAYER]) for r in (origin, one, two)}
        logins = Logins()
        gateway = Gateway(
            tmp_path / "spool",
            credentials=logins,
            clock=SystemClock(),
            port=0,
            limits=limits,
            proxies=Proxies(),
            certs=(),
        )
        gateway.start()
        try:
            yield Harbour(gateway, origin, [one, two], digest, logins)
        finally:
            gateway.close()


def parts(registry: ScriptedRegistry) -> list[tuple[int, int]]:
    """Return the parts of the layer that were asked for, by their starts."""
    texts = [entry.headers.get("range", "") for entry in registry.log if entry.tail == BIG]
    pairs = [text.removeprefix("bytes=").partition("-")[::2] for text in texts if text]
    return sorted((int(first), int(last) + 1) for first, last in pairs)


def test_each_piece_is_asked_for_once(harbour: Harbour) -> None:
    (one, two), origin = harbour.mirrors, harbour.origin
    dock, attempts = harbour.pull()
    assert LAYER in dock.blobs.values()
    assert parts(one) == PIECES
    assert [a.result for a in attempts] == ["served", "unused", "unused"]
    assert attempts[0].bytes == served(one)
    assert attempts[0].resumed_at == ()
    assert (served(two), served(origin)) == (0, 0)


@hangs
def test_several_are_on_their_way_at_once(harbour: Harbour) -> None:
    """The first stands still after a while; the three connections beside it bring all that comes after."""
    one = harbour.mirrors[0]
    one.faults.add(Fault.STALL, tail=BIG, at=60_000, times=1)
    _, attempts = harbour.pull()
    assert parts(one) == PIECES
    assert parts(harbour.mirrors[1]) == [(60_000, PIECE)]
    assert attempts[0].bytes == served(one)
    assert attempts[1].bytes == served(harbour.mirrors[1]) == PIECE - 60_000


@hangs
def test_a_line_that_is_not_fast_is_not_shared(harbour: Harbour) -> None:
    harbour.gateway._limits = replace(IN_PIECES_HANGING, fast_bytes_s=1e12)
    one = harbour.mirrors[0]
    one.faults.add(Fault.STALL, tail=BIG, at=60_000, times=1)
    harbour.pull()
    assert len(parts(one)) == 1
    assert parts(harbour.mirrors[1]) == [(60_000, PIECE), *PIECES[1:]]


def test_a_line_that_one_connection_fills_is_asked_for_long_pieces(harbour: Harbour) -> None:
    """The first piece tells how fast it comes; the others come in one request, over the same connection."""
    harbour.gateway._limits = replace(IN_PIECES, ample_bytes_s=1.0)
    one = harbour.mirrors[0]
    dock, attempts = harbour.pull()
    assert LAYER in dock.blobs.values()
    assert parts(one) == [(0, PIECE), (PIECE, len(LAYER))]
    assert attempts[0].bytes == served(one)


SOURCE = Source(endpoint=Endpoint(scheme="https", host="m.example"), role=Role.MIRROR)
LOOKS = {
    "one connection fills the line": ([90e6, 200e6], 0),
    "it gets there": ([30e6, 70e6, 90e6, 200e6], 0),
    "it does not get there": ([30e6, 50e6, 60e6], 3),
    "far from it": ([19e6], 1),
    "it had enough, and has a bad moment": ([30e6, 90e6, 70e6, 85e6], 0),
    "each request begins slowly": ([30e6, 50e6, 90e6, 30e6, 50e6, 90e6], 0),
    "it had enough, and has it no more": ([90e6, 70e6, 60e6, 50e6], 4),
    "a thin line": ([1000.0], 0),
}
"""How fast it comes, look after look, and after how many looks others are asked beside it; 0: never."""


@pytest.mark.parametrize("case", LOOKS)
def test_others_are_asked_beside_a_connection_that_does_not_fill_the_line(tmp_path: Path, case: str) -> None:
    """What comes with a good part of the speed that would do is looked at thrice: young connections are slow."""
    speeds, after = LOOKS[case]
    asked: list[int] = []

    async def fetch(_: Source, stretch: Stretch) -> None:
        asked.append(stretch.piece.start)

    async def look() -> list[bool]:
        file = SpoolFile(Digest.parse(BIG), tmp_path / "layer.part", note=lambda _: None)
        ahead = Ahead(
            file=file,
            size=1 << 30,
            fetch=fetch,
            spare=asyncio.Semaphore(9),
            limits=Limits(connections=2),
            failed=lambda *_: None,
        )
        ahead.turn(0)
        known = [ahead.flows(SOURCE, bytes_s) for bytes_s in speeds]
        await asyncio.sleep(0)
        await ahead.end()
        file.close()
        return known

    assert asyncio.run(look()) == [number == after or case == "a thin line" for number in range(1, len(speeds) + 1)]
    assert bool(asked) == bool(after)


def test_whoever_waits_for_its_turn_has_its_connection_used(tmp_path: Path) -> None:
    """Of as many connections as there may be, none idles while the next bytes are on their way over another one."""
    limits = Limits(connections=3)
    piece = limits.piece_bytes
    begun: list[int] = []

    async def fetch(_: Source, stretch: Stretch) -> None:
        begun.append(stretch.piece.start // piece)
        await asyncio.Event().wait()

    async def wait() -> tuple[list[int], list[int]]:
        file = SpoolFile(Digest.parse(BIG), tmp_path / "layer.part", note=lambda _: None)
        spare = asyncio.Semaphore(9)
        ahead = Ahead(file=file, size=9 * piece, fetch=fetch, spare=spare, limits=limits, failed=lambda *_: None)
        ahead.turn(0)
        ahead.flows(SOURCE, limits.fast_bytes_s)
        await asyncio.sleep(0)
        beside = list(begun)
        file.append(bytes(piece), SOURCE.name)
        joining = asyncio.create_task(ahead.join(SOURCE))
        await asyncio.sleep(0.1)
        waiting = list(begun)
        await ahead.end()
        await joining
        file.close()
        return beside, waiting

    assert asyncio.run(wait()) == ([1, 2], [1, 2, 3])


def test_a_long_piece_that_breaks_off_is_gone_on_with_at_the_next_source(harbour: Harbour) -> None:
    harbour.gateway._limits = replace(IN_PIECES, ample_bytes_s=1.0)
    one, two = harbour.mirrors
    one.faults.add(Fault.CUT, tail=BIG, at=50_000, after=1)
    dock, attempts = harbour.pull()
    assert LAYER in dock.blobs.values()
    assert attempts[0].bytes == served(one)
    assert attempts[1].bytes == served(two) > 0
    assert sum(a.bytes for a in attempts) == sum(map(len, dock.blobs.values()))


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("cut", {"at": 50_000}),
    ("cut", {"at": 50_000, "after": 1}),
    ("cut", {"at": 50_000, "after": 2, "times": 1}),
    ("stall", {"at": 50_000}),
    ("stall", {"at": 0, "after": 1}),
    ("stall", {"at": 50_000, "after": 3}),
    ("hang", {"after": 1}),
    ("close", {"after": 2}),
    ("zero_bytes", {"after": 1}),
    ("slow", {"rate": 1000}),
    ("slow", {"rate": 1000, "after": 2}),
    ("wrong_bytes", {}),
    ("wrong_bytes", {"after": 2, "times": 1}),
    ("wrong_prefix", {"at": 70_000, "times": 1}),
    ("no_range", {}),
    ("chunked", {}),
    ("endless", {}),
    ("status", {"status": 416}),
    ("status", {"status": 404, "after": 1}),
    ("status", {"status": 429, "retry_after": "30", "after": 1}),
    ("status", {"status": 503, "after": 1}),
    ("token_expires", {"at": 60_000, "times": 2}),
]


WAITED_FOR = {"stall", "hang", "slow"}
NOTHING_TWICE = {"cut", "stall", "hang", "close", "zero_bytes", "chunked", "status", "token_expires"}
"""After these faults no byte need be fetched again."""


@pytest.mark.parametrize("failing", ["the first mirror", pytest.param("all but the origin", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    ("fault", "rule", "limits"),
    [(fault, rule, IN_PIECES_HANGING if fault in WAITED_FOR else IN_PIECES) for fault, rule in FAULTS],
)
def test_a_fault_in_any_piece_changes_who_gives_the_bytes_and_nothing_else(
    harbour: Harbour, fault: str, rule: dict[str, Any], failing: str
) -> None:
    for mirror in harbour.mirrors[: 1 if failing == "the first mirror" else 2]:
        mirror.faults.add(Fault(fault), tail=BIG, **rule)
    dock, attempts = harbour.pull()
    assert LAYER in dock.blobs.values()
    assert sum(attempt.bytes for attempt in attempts) == sum(len(received) for received in dock.blobs.values())
    for attempt, registry in zip(attempts, [*harbour.mirrors, harbour.origin], strict=True):
        assert attempt.bytes <= served(registry)
        if fault in NOTHING_TWICE:
            assert attempt.bytes == served(registry)


@pytest.mark.parametrize("status", [400, 405, 416, 501])
def test_a_source_that_refuses_parts_gives_the_whole(harbour: Harbour, status: int) -> None:
    one = harbour.mirrors[0]
    one.faults.add(Fault.STATUS, tail=BIG, status=status, times=1)
    _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["served", "unused", "unused"]
    assert attempts[0].bytes == served(one)
    assert [entry.headers.get("range") for entry in one.log if entry.tail == BIG][-1] is None


def test_where_every_source_fails_the_engine_gets_nothing(harbour: Harbour) -> None:
    for registry in (*harbour.mirrors, harbour.origin):
        registry.faults.add(Fault.WRONG_BYTES, tail=BIG)
    session, dock = harbour.open()
    with pytest.raises(PullFailed, match="404"):
        dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    assert LAYER not in dock.blobs.values()
    assert session.failure.startswith("cannot get the layer")


@pytest.mark.parametrize(
    "limits", [pytest.param(replace(IN_PIECES, poured_bytes=sys.maxsize), id="hashed as it comes")]
)
def test_nobody_writes_ahead_over_what_a_whole_answer_gave(harbour: Harbour) -> None:
    """A source that ignores ranges gives every byte, also where another one still writes what it was asked for ahead."""
    beside, given, lied = threading.Event(), threading.Event(), threading.Event()

    def breaks_off_and_lies_later(asked: Asked) -> None:
        if asked.tail != BIG:
            return asked.say(sized(asked.content), asked.content)
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        part = asked.content[int(first) : int(last) + 1]
        told = f"Content-Range: bytes {first}-{last}/{len(asked.content)}".encode()
        asked.say(sized(part, told, status=b"206 Partial Content"))
        if first == "0":
            asked.say(part[: PIECE // 2])
            beside.wait(30)
            return None
        beside.set()
        given.wait(30)
        try:
            return asked.say(b"x" * len(part))
        finally:
            lied.set()

    def ignores_ranges(asked: Asked) -> None:
        if asked.tail != BIG:
            return asked.say(sized(asked.content), asked.content)
        asked.say(sized(asked.content), asked.content[:-1000])
        given.set()
        lied.wait(30)
        # What was sent has to be read, too, where nobody hinders that.
        time.sleep(0.3)
        return asked.say(asked.content[-1000:])

    shelf = harbour.origin.shelf
    with rude(shelf, "org/app", breaks_off_and_lies_later) as one, rude(shelf, "org/app", ignores_ranges) as two:
        table = MirrorTable.of(parse_mirrors([{"for": "*", "url": each.url} for each in (one, two)]))
        session = harbour.gateway.open(harbour.reference, harbour.digest, table)
        dock = harbour.dock(session)
        dock.pull(session.name, str(harbour.digest))
        harbour.gateway.end(session)
        attempts = session.attempts()
    assert dock.blobs[BIG] == LAYER
    assert [(a.result, a.bytes > 0) for a in attempts] == [("cut", True), ("served", True), ("unused", False)]
    assert sum(a.bytes for a in attempts) == sum(map(len, dock.blobs.values()))


def test_a_source_that_gives_less_than_the_asked_part_is_asked_for_the_rest(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server may (RFC 9110, 15.3.7)."""
    monkeypatch.setattr(take, "LEAST_PART_BYTES", 20_000)

    def gives_little(asked: Asked) -> None:
        if asked.tail != BIG:
            return asked.say(sized(asked.content), asked.content)
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        part = asked.content[int(first) : int(last) + 1][:50_000]
        told = f"Content-Range: bytes {first}-{int(first) + len(part) - 1}/{len(asked.content)}".encode()
        return asked.say(sized(part, told, status=b"206 Partial Content"), part)

    with rude(harbour.origin.shelf, "org/app", gives_little) as mirror:
        table = MirrorTable.of(parse_mirrors([{"for": "*", "url": mirror.url}]))
        session = harbour.gateway.open(harbour.reference, harbour.digest, table)
        dock = harbour.dock(session)
        dock.pull(session.name, str(harbour.digest))
        harbour.gateway.end(session)
        first, last = session.attempts()
    assert (first.result, first.failures, last.requests) == ("served", 0, 0)
    assert first.bytes == sum(map(len, dock.blobs.values()))
