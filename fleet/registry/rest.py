"""The rest of a body of known size, read from its connection past the HTTP library, which is told how much it was."""

from typing import Any

import httpx2

from fleet.registry.faults import ExchangeFailed, Failure
from fleet.registry.wide import WideStream

_WAY = ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state", "_reader")
"""From a response to what counts the bytes of its body. None of it is of the library's public interface."""


class Rest:
    """Read by one thread, while nobody else reads the response."""

    def __init__(self, stream: WideStream, count: Any, url: str) -> None:
        self.stream, self._count, self._url = stream, count, url

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return int(self._count._remaining)

    def read_into(self, room: memoryview, wait_s: float) -> int:
        """Read what has come; return how much, 0 where nothing came within *wait_s*; raise ExchangeFailed for a cut."""
        try:
            got = self.stream.pour(room[: self.left], wait_s)
        except OSError as error:
            raise self._failed("was cut off", Failure.CUT) from error
        if got == 0:
            raise self._failed("was cut off", Failure.CUT)
        # The library then finds the body at its end, and uses the connection again.
        self._count._remaining -= got or 0
        return got or 0

    def stalled(self) -> ExchangeFailed:
        """Return the error for a body that does not go on."""
        return self._failed("stalled", Failure.STALLED)

    def _failed(self, what: str, failure: Failure) -> ExchangeFailed:
        return ExchangeFailed(f"cannot go on reading {self._url}: it {what}", failure=failure)


def rest_of(response: httpx2.Response, url: str) -> Rest | None:
    """Return the rest of *response*, None where its size is not known or its connection cannot be read so."""
    stream = response.extensions.get("network_stream")
    count: Any = response.stream
    for name in _WAY:
        count = getattr(count, name, None)
    if not isinstance(getattr(count, "_remaining", None), int) or not isinstance(stream, WideStream):
        return None
    return Rest(stream, count, url) if stream.pours and count._remaining else None
