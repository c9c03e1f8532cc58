"""How fast each receiver or link may be spoken to: who tells of everything, or guesses, must not keep the database busy."""

from dataclasses import dataclass, field
from uuid import UUID

BURST = 120
"""How many requests may come at once: a pipeline that pushes all its images."""
PER_S = 2.0
"""How many more each second allows."""
MOST_COUNTED = 1000
"""How many counts are kept before those are looked for that say nothing any more."""


@dataclass(slots=True)
class Pace:
    """Counts the requests to each receiver, or link, that there is; none is counted that there is not."""

    burst: int = BURST
    per_s: float = PER_S
    _left: dict[UUID, tuple[float, float]] = field(default_factory=dict)
    """How many more each may send, and when that was so."""

    def wait_s(self, id: UUID, now: float) -> float:
        """Count one request at *now* (monotonic, in seconds); return how long it should have waited, 0 where it may come."""
        left = self._now(id, now)
        if left < 1:
            self._left[id] = (left, now)
            return (1 - left) / self.per_s
        self._left[id] = (left - 1, now)
        if len(self._left) > MOST_COUNTED:
            self._forget(now)
        return 0.0

    def _now(self, id: UUID, now: float) -> float:
        left, since = self._left.get(id, (float(self.burst), now))
        return min(self.burst, left + (now - since) * self.per_s)

    def _forget(self, now: float) -> None:
        """Forget whoever may send as much as one that was never heard of."""
        self._left = {id: found for id, found in self._left.items() if self._now(id, now) < self.burst}
