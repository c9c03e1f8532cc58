"""What a command in a container writes: read from the connection until it ends, and taken out of its frames."""

from collections.abc import Iterator
from typing import Any

import requests

from fleet.clock import Clock

MOST_OUTPUT_BYTES = 4096
"""So much of what a command in a container writes is kept."""
_FRAME_HEADER = 8


def read_to_end(stream: Any, clock: Clock, timeout_s: float) -> bytes | None:
    """Return the first bytes of what a command writes once it has ended; None where that takes over *timeout_s*."""
    connection = getattr(stream, "_sock", stream)
    until, told = clock.monotonic() + timeout_s, bytearray()
    try:
        while (left_s := until - clock.monotonic()) > 0:
            connection.settimeout(left_s)
            chunk = connection.recv(MOST_OUTPUT_BYTES)
            if not chunk:
                return bytes(told)
            told += chunk[: 2 * MOST_OUTPUT_BYTES - len(told)]
    except TimeoutError:
        pass
    except OSError as error:
        raise requests.ConnectionError(str(error)) from error
    finally:
        if response := getattr(stream, "_response", None):  # the library keeps it alive there; it goes first
            response.close()
        connection.close()
    return None


def payloads(told: bytes) -> Iterator[bytes]:
    """Yield what stands in the frames of both streams: each has a header of 8 bytes, the last 4 of them its size."""
    while len(told) > _FRAME_HEADER:
        size = int.from_bytes(told[4:_FRAME_HEADER])
        yield told[_FRAME_HEADER : _FRAME_HEADER + size]
        told = told[_FRAME_HEADER + size :]
