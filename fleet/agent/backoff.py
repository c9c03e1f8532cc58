"""How long to wait before the next try: twice as long each time, up to a limit, and never for all hosts the same."""

import random
from dataclasses import dataclass

JITTER = 0.2
"""The part of a wait by which it is shorter or longer, so that ten thousand hosts do not come back at once."""


@dataclass(slots=True, kw_only=True)
class Backoff:
    """The waits of one thing that fails."""

    first_s: float
    longest_s: float
    tries: int = 0

    def next_s(self) -> float:
        """Return the next wait."""
        wait_s = min(self.longest_s, self.first_s * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return spread(wait_s, JITTER)

    def reset(self) -> None:
        """Begin anew: it went well."""
        self.tries = 0


def spread(seconds: float, part: float) -> float:
    """Return *seconds*, by up to *part* of it shorter or longer."""
    return seconds * (1 + part * (2 * random.random() - 1))  # noqa: S311 - no secret
