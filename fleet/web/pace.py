"""How fast each receiver may be spoken to: a registry that tells of everything must not keep the database busy."""

from dataclasses import dataclass, field
from uuid import UUID

BURST = 120
"""How many requests may come at once: a pipeline that pushes all its images."""
PER_S = 2.0
"""How many more each second allows."""


@dataclass(slots=True)
class Pace:
    """Counts the requests of who proved the secret; there are as many counts as receivers."""

    _left: dict[UUID, tuple[float, float]] = field(default_factory=dict)
    """How many more each may send, and when that was so."""

    def wait_s(self, receiver: UUID, now: float) -> float:
        """Count one request at *now* (monotonic, in seconds); return how long it should have waited, 0 where it may come."""
        left, since = self._left.get(receiver, (float(BURST), now))
        left = min(BURST, left + (now - since) * PER_S)
        if left < 1:
            self._left[receiver] = (left, now)
            return (1 - left) / PER_S
        self._left[receiver] = (left - 1, now)
        return 0.0
