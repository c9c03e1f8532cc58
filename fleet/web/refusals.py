"""How often what a caller was refused is written down: the audit is kept for ever, and whoever may only read must not fill it."""

from dataclasses import dataclass, field

WINDOW_S = 3600.0
MOST = 100
"""How many refusals of one caller are written down in that time; the rest is counted by the log."""


@dataclass(slots=True)
class Refusals:
    """Counts them, in one window after the other."""

    _began: float | None = None
    _counts: dict[str, int] = field(default_factory=dict)

    def are_told(self, who: str, now: float) -> bool:
        """Count one of *who* at *now* (monotonic, in seconds); tell whether it is still written down."""
        if self._began is None or now >= self._began + WINDOW_S:
            self._began, self._counts = now, {}
        count = self._counts[who] = self._counts.get(who, 0) + 1
        return count <= MOST
