"""This host's voice: signs what it has to say, and appends it to the inbox. Another key is another speaker."""

from uuid import UUID

from fleet.clock import Clock
from fleet.road.envelope import CENTRE, UP_TTL_S, seal
from fleet.road.join import JoinFile
from fleet.road.messages import Message
from fleet.road.up import Uplink


class Speaker:
    """Speaks with one key and one login."""

    def __init__(self, join: JoinFile, clock: Clock, life: UUID | None) -> None:
        """Prepare to speak as *join* says; it connects when it first speaks.

        *life* is this agent's, and None where the centre may be one that does not read version 2.
        """
        self._join, self._clock, self._life = join, clock, life
        self._uplink = Uplink(join.broker, join.host_id)

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
        self._uplink.send(sealed)

    def close(self) -> None:
        """Give the connection back."""
        self._uplink.close()
