"""Mirrors that bend HTTP itself: what is lawful is understood, and what is not keeps nobody waiting."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fleet.clock import SystemClock
from fleet.gateway.limits import Limits
from fleet.gateway.server import Gateway
from fleet.mirrors.attempt import Attempt
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.registry.proxies import Proxies
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.docking import Dock
from tests.gateway.harbour import HANG_S, HANGING, LAYERS, PATIENT, Harbour, Logins
from tests.gateway.rude import CHUNKED, Asked, Manner, Rude, chunk, rude, sized

LONG_S = 1.0
ONCE = replace(HANGING, patience=replace(HANGING.patience, connect_s=LONG_S, first_byte_s=20.0))
"""A gateway to which a second is long, and which waits for a first byte for longer."""


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What came of a pull past one rude mirror."""

    dock: Dock
    mirror: Attempt
    origin: Attempt
    seconds: float
    asked: list[tuple[str, str]]


@contextmanager
def past(manner: Manner, folder: Path, limits: Limits, family: int = socket.AF_INET) -> Iterator[tuple[Harbour, Rude]]:
    """Start an origin, one mirror of that *manner*, and a gateway."""
    folder.mkdir(exist_ok=True)
    with ScriptedRegistry() as origin:
        digest = origin.shelf.add_image("org/app", "1", layers=LAYERS)
        gateway = Gateway(
            folder / "spool",
            credentials=Logins(),
            clock=SystemClock(),
            port=0,
            limits=limits,
            proxies=Proxies(),
            certs=(),
        )
        with rude(origin.shelf, "org/app", manner, family=family) as mirror:
            gateway.start()
            try:
                yield Harbour(gateway, origin, [], digest, Logins()), mirror
            finally:
                gateway.close()


def pulled(manner: Manner, folder: Path, limits: Limits = PATIENT, family: int = socket.AF_INET) -> Pulled:
    """Pull past one mirror of that *manner*; raise PullFailed."""
    with past(manner, folder, limits, family) as (harbour, mirror):
        table = MirrorTable.of(parse_mirrors([{"for": "*", "url": mirror.url}]))
        session = harbour.gateway.open(harbour.reference, harbour.digest, table)
        began = time.monotonic()
        dock = harbour.dock(session)
        dock.pull(session.name, str(harbour.digest))
        seconds = time.monotonic() - began
        harbour.gateway.end(session)
        first, last = session.attempts()
        return Pulled(dock=dock, mirror=first, origin=last, seconds=seconds, asked=mirror.asked)


def well(asked: Asked) -> None:
    """Answer as any server does."""
    asked.say(sized(asked.content) + asked.content)


LAWFUL: dict[str, Manner] = {
    "HTTP/1.0, which ends with the connection": lambda a: a.say(b"HTTP/1.0 200 OK\r\n\r\n", a.content),
    "answers before the answer": lambda a: a.say(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3, sized(a.content), a.content
    ),
    "trailers": lambda a: a.say(CHUNKED, chunk(a.content), b"0\r\nX: y\r\n\r\n"),
    "words beside a chunk's size": lambda a: a.say(
        CHUNKED, b"%x;a=%s\r\n" % (len(a.content), b"b" * 3000) + a.content + b"\r\n0\r\n\r\n"
    ),
    "a size beside a transfer coding": lambda a: a.say(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(a.content), b"0\r\n\r\n"
    ),
    "lines without a carriage return": lambda a: a.say(
        b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(a.content), a.content
    ),
    "more bytes than were announced": lambda a: a.say(sized(a.content), a.content, b"x" * 1000),
}


@pytest.mark.parametrize("manner", LAWFUL.values(), ids=LAWFUL.keys())
def test_what_servers_may_do_is_understood(manner: Manner, tmp_path: Path) -> None:
    found = pulled(manner, tmp_path)
    assert (found.mirror.result, found.origin.result) == ("served", "unused")
    assert found.mirror.bytes == sum(map(len, found.dock.blobs.values()))


def test_a_mirror_by_ipv6(tmp_path: Path) -> None:
    found = pulled(well, tmp_path, family=socket.AF_INET6)
    assert found.mirror.source.startswith("http://[::1]:")
    assert (found.mirror.result, found.origin.bytes) == ("served", 0)


def _drips_within_a_blob(asked: Asked) -> None:
    if asked.kind == "manifests":
        return well(asked)
    asked.say(CHUNKED, chunk(asked.content[:1000]))
    return asked.drip(b"0", HANG_S / 3)


def _drips_after_a_manifest(asked: Asked) -> None:
    asked.say(CHUNKED, chunk(asked.content), b"0\r\nX: ")
    asked.drip(b"y", HANG_S / 3)


def test_bytes_that_are_none_of_the_body_are_silence(tmp_path: Path) -> None:
    """The size of a chunk, or what follows the last one, may drip for ever: the socket is never silent, the body is."""
    manners = (_drips_within_a_blob, _drips_after_a_manifest)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda m: pulled(m, tmp_path / m.__name__, HANGING), manners))
    assert [f.mirror.result for f in found] == ["stalled", "stalled"]
    assert [f.mirror.bytes > 0 for f in found] == [True, False]
    assert all(f.mirror.bytes + f.origin.bytes == sum(map(len, f.dock.blobs.values())) for f in found)
    assert all(f.seconds < 2 * HANG_S + 10 for f in found)


def _floods(piece: bytes) -> Manner:
    def manner(asked: Asked) -> None:
        asked.drip(piece * (60_000 // len(piece)), 0)

    return manner


def test_a_mirror_that_never_pauses_is_left_in_time_and_holds_nobody_else(tmp_path: Path) -> None:
    """Answers before the answer may come faster than they can be read: then nothing is ever waited for."""
    found = pulled(_floods(b"HTTP/1.1 100 Continue\r\n\r\n"), tmp_path, HANGING)
    assert (found.mirror.result, found.mirror.requests) == ("timeout", 1)
    assert found.origin.bytes == sum(map(len, found.dock.blobs.values()))


def test_what_is_complete_is_proved_however_slowly_it_came(tmp_path: Path) -> None:
    """Its last bytes came too late for the floor: nobody is asked for bytes after the last one."""

    def late(asked: Asked) -> None:
        if asked.kind == "manifests":
            return well(asked)
        asked.say(sized(asked.content), asked.content[:50_000])
        time.sleep(LONG_S)
        return asked.say(asked.content[50_000:])

    hurried = replace(PATIENT, floor_bytes_s=10e6, floor_window_s=LONG_S / 2)
    found = pulled(late, tmp_path, hurried)
    assert (found.mirror.result, found.mirror.failures) == ("served", 0)
    assert found.origin.requests == 0


def _after_long(*answer: bytes) -> Manner:
    def manner(asked: Asked) -> None:
        time.sleep(LONG_S)
        asked.say(*answer)

    return manner


def _slow(asked: Asked) -> None:
    asked.say(sized(asked.content))
    for at in range(len(asked.content)):
        asked.say(asked.content[at : at + 1], every_s=0.05)


def test_a_mirror_that_fails_after_a_long_time_costs_it_once(tmp_path: Path) -> None:
    """Whatever it fails by: its other layers, and manifests, would cost that time again."""
    manners = {
        "not_found": _after_long(sized(b"", status=b"404 Not Found")),
        "unauthorized": _after_long(sized(b"", status=b"403 Forbidden")),
        "server_error": _after_long(sized(b"", status=b"502 Bad Gateway")),
        "cut": _after_long(),
        "slow": _slow,
    }
    with ThreadPoolExecutor() as pool:
        found = dict(zip(manners, pool.map(lambda m: pulled(manners[m], tmp_path / m, ONCE), manners), strict=True))
    assert {name: f.mirror.result for name, f in found.items()} == {name: name for name in manners}
    assert {name: f.mirror.requests for name, f in found.items()} == dict.fromkeys(manners, 1)
