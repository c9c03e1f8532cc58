"""What a command in a container wrote is taken out of the engine's frames; one that does not end is left."""

import socket

import pytest

from fleet.clock import SystemClock
from fleet.engine.written import MOST_OUTPUT_BYTES, payloads, read_to_end


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    return socket.socketpair()


def frame(text: bytes, kind: int = 1) -> bytes:
    """Return *text* as the engine sends it."""
    return bytes((kind, 0, 0, 0)) + len(text).to_bytes(4) + text


def test_both_streams_are_read_until_the_end(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(frame(b"one ") + frame(b"two", kind=2))
    theirs.close()
    told = read_to_end(ours, SystemClock(), 5.0)
    assert told is not None
    assert list(payloads(told)) == [b"one ", b"two"]


def test_a_command_that_does_not_end_is_left_and_its_connection_closed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(frame(b"still here"))
    assert read_to_end(ours, SystemClock(), 0.05) is None
    assert ours.fileno() == -1
    theirs.close()


def test_no_more_is_kept_than_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(frame(b"x" * 40_000))
    theirs.close()
    told = read_to_end(ours, SystemClock(), 5.0)
    assert told is not None
    assert len(told) == 2 * MOST_OUTPUT_BYTES
