"""What came of sending something to a channel: an expected failure is a value (pure)."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Sent(StrEnum):
    """How one sending ended."""

    TAKEN = "taken"
    """The channel took it."""
    LATER = "later"
    """The channel could not be reached, or could not take anything: the same again, later."""
    REFUSED = "refused"
    """The channel will not take this one event, however often; others may go on."""
    GONE = "gone"
    """The channel says that it is no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one attempt to send a message to a channel."""

    sent: Sent
    reason: str = ""
    """Why not, for people; never with a URL's path, query or login, which may be secrets."""
    again: timedelta | None = None
    """After how long the channel itself said that it may be asked again."""


TAKEN = Came(sent=Sent.TAKEN)


def later(reason: str, again: timedelta | None = None) -> Came:
    """Return that it is tried again."""
    return Came(sent=Sent.LATER, reason=reason, again=again)
