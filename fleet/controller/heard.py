"""What came of what was said at receivers, counted by the process that hears it, since it began.

It is not in the database, as other counters are: of most that registries say nothing comes, and nothing is written for it, so that
who says it over and over keeps no database busy.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.images.pushed import Sender

NOBODY = "none"
"""In the place of a sender, where it is not known whose form a body has."""


class HeardOutcome(StrEnum):
    """What came of one request to a receiver."""

    ASKED = "asked"
    """A tag that the fleet runs is asked for soon."""
    NOTHING = "nothing"
    """It names no tag that a running container follows."""
    UNREAD = "unread"
    """The body has no form that is known, or is too long."""
    LIMITED = "limited"
    """It came too soon after many others."""
    REFUSED = "refused"
    """There is no such receiver, or the secret is wrong."""


OF_SENDERS = (HeardOutcome.ASKED, HeardOutcome.NOTHING)
"""What comes of bodies whose sender is known; of the others it is not."""


@dataclass(slots=True)
class HeardCount:
    """How often what came of requests to receivers; threads may count at once."""

    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: HeardOutcome, sender: Sender | None = None) -> None:
        """Count one request."""
        with self._lock:
            self._counts[sender or NOBODY, outcome] += 1

    def series(self) -> list[tuple[tuple[str, str], int]]:
        """Return every series, those at nothing too: the first push after a start at nothing would be no rise."""
        named = [(sender.value, outcome.value) for sender in Sender for outcome in OF_SENDERS]
        others = [(NOBODY, outcome.value) for outcome in HeardOutcome if outcome not in OF_SENDERS]
        with self._lock:
            return [(labels, self._counts[labels]) for labels in (*named, *others)]
