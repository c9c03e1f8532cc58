"""First contact: puts a key and a password of this host's own in the place of what its join file holds.

The broker itself gives the answer. It takes the new login once the centre has written the new key down and let it in,
so there is nothing that could be lost on the way. A centre that knows nothing of this never lets it in, and then the
join file goes on to hold.
"""

from collections.abc import Callable

from fleet.agent.backoff import Backoff
from fleet.agent.identity import Identity
from fleet.agent.problems import Problems
from fleet.clock import Clock
from fleet.errors import BrokerUnreachable
from fleet.road.acl import password_hash
from fleet.road.broker import BrokerAddress
from fleet.road.join import JoinFile
from fleet.road.messages import Rekey, Up

UNWRITTEN = "identity-unwritten"
NEVER = float("inf")
FULL_DISK_S = 60.0


class Rekeying:
    """The steps of it; taken by one thread, and over once the host is its own."""

    def __init__(
        self,
        identity: Identity,
        *,
        say: Callable[[Up], None],
        lets_in: Callable[[BrokerAddress], bool],
        use: Callable[[JoinFile], None],
        clock: Clock,
        problems: Problems,
    ) -> None:
        """Prepare; *use* is called once, with what holds from then on."""
        self._identity, self._say, self._lets_in, self._use = identity, say, lets_in, use
        self._clock, self._problems = clock, problems
        self._look = Backoff(first_s=0.5, longest_s=300.0)
        self._ask = Backoff(first_s=30.0, longest_s=3600.0)
        self._ask_at = float("-inf")

    def step(self) -> float:
        """Look whether the new login is let in, and ask for it where it is time; return when to look again."""
        if self._identity.own:
            return NEVER
        try:
            following = self._identity.follow()
            if self._lets_in(following.broker):
                self._use(self._identity.take())
                self._problems.clear(UNWRITTEN)
                return NEVER
        except OSError as error:
            self._problems.raise_(UNWRITTEN, f"cannot write this host's own key: {error.strerror}; is the disk full?")
            return FULL_DISK_S
        except BrokerUnreachable:
            return self._look.next_s()  # whoever sends says so
        if self._clock.monotonic() >= self._ask_at:
            self._say(_request(following))
            self._ask_at = self._clock.monotonic() + self._ask.next_s()
        return self._look.next_s()


def _request(following: JoinFile) -> Rekey:
    """Return what the centre is told: of both secrets only what they can be recognised by."""
    return Rekey(public_key=str(following.key.public), password_sha256=password_hash(following.broker.password))
