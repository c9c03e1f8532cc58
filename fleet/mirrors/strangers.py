"""Which global mirrors do not know a registry: they are asked for every registry, and many stand in for one alone.

Time is an argument in disguise (the clock is handed in); nothing here asks an endpoint. Not safe for several threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.clock import Clock
from fleet.images.reference import DOCKER_HUB, Reference
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.policy import GLOBAL
from fleet.mirrors.source import Source

SKIPPED_S = 24 * 3600.0
"""How long a mirror that does not know a registry is not asked for it."""
MOST_REFUSALS = 3
"""Of so many repositories a mirror must know nothing: one may be private or new, three are a registry."""

_REFUSALS = frozenset({AttemptResult.NOT_FOUND, AttemptResult.UNAUTHORIZED})


@dataclass(slots=True, kw_only=True)
class _Acquaintance:
    """How one mirror answered for one registry."""

    served: bool = False
    refused: set[str] = field(default_factory=set)
    """Repositories."""
    skipped_until: float = 0.0


class Strangers:
    """What each global mirror answered for each registry; Docker Hub is not asked about, every such mirror is for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], _Acquaintance] = {}

    def failed(self, source: Source, reference: Reference, result: AttemptResult) -> None:
        """Take note that *source* did not give something of *reference*."""
        if result not in _REFUSALS or not _counts(source, reference):
            return
        known = self._of(source, reference)
        known.refused.add(reference.repository)
        if not known.served and len(known.refused) >= MOST_REFUSALS:
            known.skipped_until = self._clock.monotonic() + SKIPPED_S
            known.refused.clear()

    def served(self, source: Source, reference: Reference) -> None:
        """Take note that *source* gave something of *reference*; it knows this registry, now and later."""
        if _counts(source, reference):
            self._of(source, reference).served = True

    def of(self, reference: Reference) -> Mapping[str, str]:
        """Return the mirrors (by name) that are not asked for the registry of *reference*, and why."""
        now, registry = self._clock.monotonic(), reference.registry
        reason = f"not asked: it had none of {MOST_REFUSALS} repositories of {registry}, and is asked again after a day"
        return {
            name: reason
            for (name, other), known in self._known.items()
            if other == registry and now < known.skipped_until
        }

    def forget(self) -> None:
        """Ask every mirror for every registry again."""
        self._known.clear()

    def _of(self, source: Source, reference: Reference) -> _Acquaintance:
        return self._known.setdefault((source.name, reference.registry), _Acquaintance())


def _counts(source: Source, reference: Reference) -> bool:
    is_global = source.rule is not None and source.rule.for_registry == GLOBAL
    return is_global and reference.registry != DOCKER_HUB
