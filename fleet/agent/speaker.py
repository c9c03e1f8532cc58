"""This host's voice: signs what it has to say, and appends it to the inbox. Another key is another speaker."""

import logging
from uuid import UUID

from fleet.clock import Clock
from fleet.errors import LoginRefused
from fleet.road.envelope import CENTRE, UP_TTL_S, seal
from fleet.road.join import JoinFile
from fleet.road.up import Uplink
from fleet.road.versions import Message

log = logging.getLogger(__name__)

REFUSED_S = 20.0
"""How long the broker must refuse the login for it to be told: after its restart the centre sets the users again, and
that takes a moment.
"""


class Speaker:
    """Speaks with one key and one login."""

    def __init__(self, join: JoinFile, clock: Clock, life: UUID | None) -> None:
        """Prepare to speak as *join* says; it connects when it first speaks.

        *life* is this agent's, and None where the centre may be one that does not read version 2.
        """
        self._join, self._clock, self._life = join, clock, life
        self._uplink = Uplink(join.broker, join.host_id)
        self._refused_at: float | None = None
        self._told = False

    def say(self, message: Message, id: UUID | None) -> None:
        """Sign *message* and append it, under *id* where one is given.

        Raise BadInput where it is too large, BrokerUnreachable where it is not certain that it was appended.
        """
        sealed = seal(
            message.of_life(self._life) if self._life else message,
            key=self._join.key,
            issuer=self._join.host_id,
            audience=CENTRE,
            clock=self._clock,
            ttl_s=UP_TTL_S,
            id=id,
        )
        try:
            self._uplink.send(sealed)
        except LoginRefused:
            self._refused()
            raise
        self._refused_at = None

    def _refused(self) -> None:
        """Say once what it means that the broker goes on to refuse this login."""
        now = self._clock.monotonic()
        if self._refused_at is None:
            self._refused_at, self._told = now, False
        elif now - self._refused_at >= REFUSED_S and not self._told:
            name = self._join.host_name
            log.error(
                "login refused",
                extra={
                    "reason": f"cannot log in as {name}: its join file was used on another machine, it was made anew, or"
                    f" the host was removed; for a new one, at the centre: fleet host rejoin {name}"
                },
            )
            self._told = True

    def close(self) -> None:
        """Give the connection back."""
        self._uplink.close()
