"""What a pull left in the spool spares the next one, whatever ended the first; nothing of it is believed unproved."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.clock import SystemClock
from fleet.gateway.flights import Flight, Flights
from fleet.gateway.server import Gateway
from fleet.gateway.sink import NOTED_BYTES, Segment, SpoolFile
from fleet.gateway.spool import Spool
from fleet.images.digest import Digest
from fleet.registry.proxies import Proxies
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from tests.gateway import pulls_until_killed
from tests.gateway.harbour import PATIENT, Harbour, Logins, served

LAYER = os.urandom(2 * NOTED_BYTES + 1_000_000)
BIG = Digest.of(LAYER)
MADE = 2 * NOTED_BYTES + 500_000
"""Where the layer breaks off."""

Start = Callable[[], Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start gateways over one spool, as agents do one after the other."""
    started: list[Gateway] = []

    def one() -> Gateway:
        gateway = Gateway(
            tmp_path / "spool",
            credentials=Logins(),
            clock=SystemClock(),
            port=0,
            limits=replace(PATIENT, spool_bytes=50_000_000),
            proxies=Proxies(),
            certs=(),
        )
        gateway.start()
        started.append(gateway)
        return gateway

    yield one
    for gateway in started:
        gateway.close()


@pytest.fixture
def origin() -> Iterator[ScriptedRegistry]:
    """Start an origin with an image of one layer."""
    with ScriptedRegistry() as registry:
        registry.shelf.add_image("org/app", "1", layers=[LAYER])
        yield registry


def harbour(gateway: Gateway, origin: ScriptedRegistry, mirrors: list[ScriptedRegistry] | None = None) -> Harbour:
    """Return what pulls from *origin* through *gateway*."""
    named = origin.shelf.manifest("org/app", "1")
    assert named is not None
    return Harbour(gateway, origin, mirrors or [], named[0], Logins())


def ranges(registry: ScriptedRegistry) -> list[str]:
    """Return the Range headers by which the layer was asked for."""
    return [entry.headers.get("range", "") for entry in registry.log if entry.tail == str(BIG)]


def break_off(gateway: Gateway, origin: ScriptedRegistry) -> None:
    """Let a pull end in the middle of the layer, and keep what came."""
    origin.faults.add(Fault.CUT, tail=str(BIG), at=MADE, times=1)
    origin.faults.add(Fault.STATUS, tail=str(BIG), status=404, after=1)
    pull = harbour(gateway, origin)
    session, dock = pull.open()
    assert dock.ask("GET", f"/v2/{session.name}/manifests/{pull.digest}")[0] == 200
    assert dock.ask("GET", f"/v2/{session.name}/blobs/{BIG}")[0] == 404
    gateway.end(session, kept=True)
    origin.faults.clear()
    origin.log.clear()


def test_an_agent_that_was_killed_goes_on_where_it_was(start: Start, origin: ScriptedRegistry, tmp_path: Path) -> None:
    origin.faults.add(Fault.STALL, tail=str(BIG), at=MADE)
    named = origin.shelf.manifest("org/app", "1")
    assert named is not None
    script, image = Path(pulls_until_killed.__file__), f"{origin.host}/org/app:1"
    run = [sys.executable, str(script), str(tmp_path / "spool"), image, str(named[0]), str(MADE)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.kill()
    origin.faults.clear()
    origin.log.clear()
    dock, (attempt,) = harbour(start(), origin).pull()
    assert LAYER in dock.blobs.values()
    (at,) = attempt.resumed_at
    assert MADE - NOTED_BYTES < at <= MADE
    assert ranges(origin) == [f"bytes={at}-"]
    config = len(dock.blobs[next(d for d in dock.blobs if d not in (str(BIG), str(named[0])))])
    assert attempt.bytes == len(LAYER) + len(named[2]) + config
    assert attempt.bytes - served(origin) in (at, at + config)


def test_a_pull_that_failed_spares_the_next_one_every_byte(start: Start, origin: ScriptedRegistry) -> None:
    break_off(start(), origin)
    dock, _ = harbour(start(), origin).pull()
    assert LAYER in dock.blobs.values()
    assert ranges(origin) == [f"bytes={MADE}-"]


def test_bytes_that_the_engine_had_before_the_pull_failed_are_told_once(start: Start, origin: ScriptedRegistry) -> None:
    """The engine asks for the layer again, and gets it without a request: both pulls together are the origin's log."""
    pull = harbour(start(), origin)
    session, dock = pull.open()
    dock.ask("GET", f"/v2/{session.name}/manifests/{pull.digest}")
    dock.ask("GET", f"/v2/{session.name}/blobs/{BIG}", Range=f"bytes=0-{MADE - 1}")
    pull.gateway.end(session, kept=True)
    _, again = pull.pull()
    assert ranges(origin) == [""]
    assert sum(attempt.bytes for attempt in (*session.attempts(), *again)) == served(origin)
    assert session.attempts()[0].bytes > MADE


def test_bytes_of_a_pull_that_nobody_tells_of_are_told_by_the_next_one(start: Start, origin: ScriptedRegistry) -> None:
    """An agent that ends drops what came of its pull: whoever gave the bytes must not be lost with that."""
    pull = harbour(start(), origin)
    session, dock = pull.open()
    dock.ask("GET", f"/v2/{session.name}/manifests/{pull.digest}")
    dock.ask("GET", f"/v2/{session.name}/blobs/{BIG}")
    pull.gateway.end(session, kept=True, told=False)
    _, again = pull.pull()
    assert ranges(origin) == [""]
    assert sum(attempt.bytes for attempt in again) >= len(LAYER)
    assert again[0].result == "served"


def test_what_the_disk_made_wrong_is_fetched_anew_and_nobody_is_blamed(
    start: Start, origin: ScriptedRegistry, tmp_path: Path
) -> None:
    break_off(start(), origin)
    with (tmp_path / "spool" / f"{BIG.hex}.part").open("r+b") as file:
        file.write(bytes(1000))
    dock, (attempt,) = harbour(start(), origin).pull()
    assert LAYER in dock.blobs.values()
    assert (attempt.result, attempt.failures) == ("served", 0)
    assert ranges(origin) == [f"bytes={MADE}-", ""]


def test_bytes_of_a_source_that_is_not_one_any_more_are_not_used(start: Start, origin: ScriptedRegistry) -> None:
    break_off(start(), origin)
    with ScriptedRegistry() as other:
        other.shelf.add_image("org/app", "1", layers=[LAYER])
        harbour(start(), other).pull()
        assert ranges(other) == [""]


def test_a_pull_that_succeeded_leaves_nothing(start: Start, origin: ScriptedRegistry, tmp_path: Path) -> None:
    harbour(start(), origin).pull()
    assert list((tmp_path / "spool").iterdir()) == []


def left(spool: Spool, content: bytes, source: str = "http://a") -> Digest:
    """Leave *content* in the spool."""
    digest = Digest.of(content)
    spool.path(digest).write_bytes(content)
    spool.note(digest, [Segment(source=source, start=0, end=len(content))])
    age = left_over.pop(0)
    os.utime(spool.path(digest), (age, age))
    return digest


left_over = list(range(1000, 1100))
"""Times of files, each later than the one before."""


def test_a_shorter_account_replaces_a_longer_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", cap_bytes=1 << 30)
    spool.path(BIG).write_bytes(bytes(20))
    long = [Segment(source=f"https://{number}.example", start=number, end=number + 1) for number in range(9)]
    one = [Segment(source="https://m", start=0, end=7)]
    for segments in (long, one, [], one):
        spool.note(BIG, segments)
        assert list(spool.left(BIG, 20, {segment.source for segment in segments})) == segments


def test_a_new_file_is_not_cut_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or ext4 would write all of it to the disk at its close, a moment before it is removed."""
    cut: list[int] = []
    monkeypatch.setattr("fleet.gateway.sink.os.ftruncate", lambda file, size: cut.append(size))
    for bytes_there in (0, 9):
        path = tmp_path / f"{bytes_there}.part"
        path.write_bytes(bytes(bytes_there))
        file = SpoolFile(BIG, path, note=lambda _: None)
        asyncio.run(file.inherit(()))
        file.close()
    assert cut == [0]


def test_a_removed_file_is_closed_in_a_thread_and_room_is_counted_once_it_is(tmp_path: Path) -> None:
    """Its close gives the disk its room back, which takes a moment for each gigabyte: no pull's end waits for that."""
    go_on = threading.Event()

    async def remove() -> list[bool]:
        spool = Spool(tmp_path, cap_bytes=1 << 30)
        flights = Flights(spool)
        file = SpoolFile(BIG, spool.path(BIG), note=lambda segments: spool.note(BIG, segments))
        file.append(LAYER, "https://m.example")
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as threads:
            loop.set_default_executor(threads)
            loop.run_in_executor(None, go_on.wait, 30)
            flights._close(Flight(digest=BIG, size=len(LAYER), file=file))
            gone = not spool.path(BIG).exists()
            checking = asyncio.create_task(flights.check([]))
            await asyncio.sleep(0.05)
            early = checking.done()
            go_on.set()
            await checking
        return [gone, early]

    assert asyncio.run(remove()) == [True, False]


def test_a_spool_that_somebody_removes_costs_what_it_held_and_no_pull(
    start: Start, origin: ScriptedRegistry, tmp_path: Path
) -> None:
    """As what cleans folders of temporary things does, between two pulls."""
    gateway = start()
    harbour(gateway, origin).pull()
    shutil.rmtree(tmp_path / "spool")
    dock, _ = harbour(gateway, origin).pull()
    assert LAYER in dock.blobs.values()


def test_a_file_whose_folder_somebody_removes_is_filled_to_its_end(tmp_path: Path) -> None:
    """Within a pull: its file is open."""
    spool = Spool(tmp_path / "spool", cap_bytes=1 << 30)
    file = SpoolFile(BIG, spool.path(BIG), note=lambda segments: spool.note(BIG, segments))
    file.append(LAYER[:1000], "https://m.example")
    shutil.rmtree(tmp_path / "spool")
    file.append(LAYER[1000:], "https://m.example")
    assert asyncio.run(file.proved())
    file.close()
    spool.make_room({BIG: len(LAYER)}, ())
    assert spool.left(BIG, len(LAYER), {"https://m.example"}) == ()


def test_what_others_remove_while_it_is_looked_at_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, cap_bytes=1000)
    left(spool, b"whole")
    there = list(tmp_path.glob("*.part"))
    monkeypatch.setattr(Path, "glob", lambda *_: [*there, tmp_path / "gone.part"])
    assert spool.bears(995) and not spool.bears(996)
    spool.trim(())


def test_a_disk_that_became_read_only_fails_no_pull_that_ended_well(
    start: Start, origin: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    gateway = start()
    monkeypatch.setattr(Path, "unlink", refuse)
    dock, attempts = harbour(gateway, origin).pull()
    assert [a.bytes for a in attempts] == [sum(map(len, dock.blobs.values()))]


def test_what_is_above_the_cap_goes_the_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, cap_bytes=1000)
    old, middle, new = (left(spool, bytes([number]) * 300) for number in range(3))
    spool.make_room({Digest.of(b"x"): 150}, ())
    assert [spool.path(each).exists() for each in (old, middle, new)] == [False, True, True]
    spool.make_room({Digest.of(b"x"): 500}, {middle})
    assert [spool.path(each).exists() for each in (middle, new)] == [True, False]


def test_what_is_ours_and_not_understood_is_removed_at_the_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path, cap_bytes=1000)
    whole, alone = left(spool, b"whole"), Digest.of(b"alone")
    (tmp_path / f"{alone.hex}.123.part").write_bytes(b"of an older version")
    (tmp_path / f"{alone.hex}.json").write_text("[]")
    spool.path(Digest.of(b"folder")).mkdir()
    again = Spool(tmp_path, cap_bytes=1000)
    assert {path.stem for path in tmp_path.iterdir()} == {whole.hex}
    assert again.left(whole, 5, {"http://a"})[0].end == 5


def test_what_others_keep_where_the_spool_leads_stays(tmp_path: Path) -> None:
    """Who wants the bytes on a larger disk links the spool there, and that disk may be full of other things."""
    disk = tmp_path / "disk"
    (disk / "photos").mkdir(parents=True)
    disk.chmod(0o755)
    (disk / "photos" / "1.jpg").write_bytes(b"dear")
    (disk / "film.part").write_bytes(bytes(5000))
    (disk / "notes.json").write_text("{}")
    (tmp_path / "spool").symlink_to(disk)
    spool = Spool(tmp_path / "spool", cap_bytes=1000)
    left(spool, b"ours")
    spool.make_room({Digest.of(b"x"): 900}, ())
    Spool(tmp_path / "spool", cap_bytes=0)
    assert {path.name for path in disk.rglob("*")} == {"photos", "1.jpg", "film.part", "notes.json"}
    assert disk.stat().st_mode & 0o777 == 0o755


BROKEN = [
    "",
    "{}",
    "[1]",
    '[{"source": "http://a", "start": 1, "end": 5}]',
    '[{"source": "http://a", "start": 0, "end": 9}]',
]


@pytest.mark.parametrize("account", BROKEN)
def test_an_account_that_cannot_be_right_counts_for_nothing(tmp_path: Path, account: str) -> None:
    spool = Spool(tmp_path, cap_bytes=1000)
    digest = left(spool, b"whole")
    (tmp_path / f"{digest.hex}.json").write_text(account)
    assert spool.left(digest, 5, {"http://a"}) == ()
