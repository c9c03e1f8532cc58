"""A blob is proved by what stands in its file, which is hashed behind whoever writes there."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.gateway.sink import READ_BYTES, SpoolFile
from fleet.gateway.threads import to_their_ends
from fleet.images.digest import Digest

LAYER = os.urandom(3 * READ_BYTES + 1000)
SOURCE = "https://m.example"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SpoolFile]:
    """Open the file of a layer of which nothing is there."""
    file = SpoolFile(Digest.of(LAYER), tmp_path / "layer.part", note=lambda _: None)
    yield file
    file.close()


def pour(file: SpoolFile, content: bytes) -> None:
    """Do what a reading thread does, and its event loop after it."""
    file.pour(memoryview(content), file.size)
    file.poured(len(content), SOURCE)


def proved(file: SpoolFile) -> bool:
    """Prove it in an event loop of its own."""
    return asyncio.run(file.proved())


def test_however_bytes_come_all_of_them_are_hashed_in_their_order(file: SpoolFile) -> None:
    """One part is appended, one poured, one laid down before its turn, and one appended while others are not hashed yet."""
    first, second, third = 1000, READ_BYTES + 2000, 2 * READ_BYTES + 3000
    behind = []
    file.append(LAYER[:first], SOURCE)
    behind.append(file.behind)
    file.lay(LAYER[second:third], second, SOURCE)
    pour(file, LAYER[first:second])
    behind.append(file.behind)
    asyncio.run(file.absorb())
    behind.append(file.behind)
    pour(file, LAYER[third:-10])
    file.append(LAYER[-10:], SOURCE)
    behind.append(file.behind)
    assert behind == [False, True, False, True]
    assert proved(file)


def test_what_was_poured_is_hashed_while_more_is_written(file: SpoolFile) -> None:
    """Whoever writes waits here until what it wrote before is hashed, which it would in vain were they done in turn."""
    pour(file, LAYER[:1000])
    at, told, heard = 1000, threading.Event(), threading.Event()
    asked: list[int] = []

    def write() -> None:
        nonlocal at
        while at < len(LAYER):
            end = min(at + READ_BYTES, len(LAYER))
            file.pour(memoryview(LAYER)[at:end], at)
            at = end
            heard.clear()
            told.set()
            assert heard.wait(30)

    def written(beyond: int) -> int:
        asked.append(beyond)
        if len(asked) > 1:
            heard.set()
        if beyond < len(LAYER):
            assert told.wait(30)
            told.clear()
        return at

    asyncio.run(to_their_ends(write, lambda: file.follow(written)))
    assert asked == [0, *range(1000 + READ_BYTES, len(LAYER), READ_BYTES), len(LAYER)]
    file.poured(len(LAYER) - 1000, SOURCE)
    assert not file.behind
    assert proved(file)


def test_what_counts_is_what_stands_in_the_file(file: SpoolFile, tmp_path: Path) -> None:
    """Not what somebody handed over: the engine is given what stands there."""
    pour(file, LAYER)
    with (tmp_path / "layer.part").open("r+b") as written:
        written.seek(2 * READ_BYTES)
        written.write(bytes(8))
    assert not proved(file)
    file.reset()
    pour(file, LAYER)
    assert proved(file)


def test_that_wrong_bytes_were_forgotten_is_written_down_at_once(tmp_path: Path) -> None:
    """Else a gateway that is killed then leaves an account by which the next one goes on from where nothing is."""
    accounts: list[int] = []
    file = SpoolFile(Digest.of(LAYER), tmp_path / "layer.part", note=lambda told: accounts.append(len(told)))
    file.append(LAYER[:READ_BYTES], SOURCE)
    file.reset()
    assert accounts[-1] == 0
    file.close()


def test_a_file_that_was_cut_short_is_no_source_s_fault(file: SpoolFile, tmp_path: Path) -> None:
    pour(file, LAYER)
    os.truncate(tmp_path / "layer.part", READ_BYTES)
    with pytest.raises(OSError, match="cut short"):
        proved(file)


def test_work_in_threads_is_waited_for_also_where_nobody_wants_it_any_more() -> None:
    """It has the file open, which is closed as soon as nobody waits."""
    go_on, done = threading.Event(), []

    def work() -> None:
        go_on.wait(30)
        done.append(True)

    async def give_up() -> None:
        wanted = asyncio.create_task(to_their_ends(work, work))
        await asyncio.sleep(0.01)
        wanted.cancel()
        await asyncio.sleep(0.01)
        assert not wanted.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await wanted

    asyncio.run(give_up())
    assert done == [True, True]


def test_what_a_thread_fails_by_is_told_when_all_have_ended() -> None:
    done = []

    def fail() -> None:
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        asyncio.run(to_their_ends(fail, lambda: done.append(True)))
    assert done == [True]
