"""Who may hold a connection to the gateway: the engine, by a pull's secret. Whoever else is on this machine may try, and no more.

A connection is an open file of the agent, which needs its files for the journal and the engine: who could open as many as
they like would leave it none in the middle of an update.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 128
"""Several times what engines open; a process is given 1,024 files where nobody says otherwise."""
TAKEN_AT_ONCE = 16
"""How many are taken before those that came earlier are heard: of a thousand that knock at once, the engine's would be the oldest that
has shown nothing, and end, before anybody read what it says."""
WAITING = 1024
"""How many wait to be taken; the system lets no more come, and the engine's then comes a second later."""
PROVED = "fleet.proved"
"""Set in the scope of a request that shows a secret."""


class DoorProtocol(H11Protocol):
    """HTTP that, where it has too many connections, ends the oldest of those that have shown no secret."""

    connections: set["DoorProtocol"]  # type: ignore[assignment]
    scope: dict[str, Any]  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, and make room where there is none: an engine shows its secret within the moment."""
        self.made_at = self.loop.time()
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            strangers = [each for each in self.connections if not each.is_proved]
            oldest = min(strangers, key=lambda each: each.made_at, default=self)
            oldest.transport.abort()
            self.connections.discard(oldest)  # it is told of its end later, and many may come until then

    @property
    def is_proved(self) -> bool:
        """Whether the latest request of this connection showed a secret."""
        return bool((self.scope or {}).get(PROVED))
