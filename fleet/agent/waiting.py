"""Requests of the centre that wait for a thread of this agent: so many at most, in the order in which they came."""

import queue
from collections.abc import Iterator
from typing import Generic, TypeVar

RequestT = TypeVar("RequestT")


class Waiting(Generic[RequestT]):
    """Put by one thread, taken by another; more than *most* are not kept."""

    def __init__(self, most: int) -> None:
        self._requests: queue.Queue[RequestT] = queue.Queue(most)

    def put(self, request: RequestT) -> bool:
        """Let *request* wait; return False where too many do already."""
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            return False
        return True

    def taken(self) -> Iterator[RequestT]:
        """Yield every request that waits, and take it away."""
        while True:
            try:
                yield self._requests.get_nowait()
            except queue.Empty:
                return
