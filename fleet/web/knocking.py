"""Who knocks at the port and has not spoken TLS yet: they take memory and files before the server counts them among its connections.

Of too many the oldest ends: whoever means to ask something speaks within the moment.
"""

import contextlib
import socket
from collections import deque
from typing import Any, Self

MOST_SILENT = 256
"""How many have a place; each takes some 150 KB."""


class Knocking(socket.socket):
    """A connection that was taken and may not have spoken yet."""

    heard = False
    """Whether it has."""

    @classmethod
    def of(cls, other: socket.socket) -> Self:
        """Return the connection of *other*, which is used no more."""
        return cls(other.family, other.type, other.proto, fileno=other.detach())

    @property
    def waits(self) -> bool:
        """Whether it is open and has not spoken."""
        return not self.heard and self.fileno() >= 0


class Listener(socket.socket):
    """A listening socket that knows who of those that it took has not spoken yet."""

    def __init__(self, family: int, type: int) -> None:
        """Know nobody."""
        super().__init__(family, type)
        self._knocking: deque[Knocking] = deque()

    def accept(self) -> tuple[socket.socket, Any]:
        """Take a connection; where too many have not spoken, end the oldest of these."""
        taken, address = super().accept()
        knocking = Knocking.of(taken)
        self._knocking.append(knocking)
        if len(self._knocking) > MOST_SILENT:
            self._knocking = deque(each for each in self._knocking if each.waits)
        if len(self._knocking) > MOST_SILENT:
            # Its transport hears of the end, and closes it.
            with contextlib.suppress(OSError):
                self._knocking.popleft().shutdown(socket.SHUT_RDWR)
        return knocking, address


def has_spoken(connection: object) -> None:
    """Note that a connection, as its transport shows it, has spoken."""
    own = getattr(connection, "_sock", None)
    if isinstance(own, Knocking):
        own.heard = True
