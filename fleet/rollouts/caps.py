"""Caps of the fleet: how many hosts of one site or rack may be away at once, over all rollouts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.rollouts.facts import Candidate, CapFacts
from fleet.rollouts.size import Size, rounded_down


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """What the fleet says of one label: for each of its values so many hosts may be away at once."""

    label: str
    max_unavailable: Size

    def limit(self, hosts: int) -> int:
        """Return the limit for a value that *hosts* hosts have; of a percentage rounded down, so it may be 0."""
        return rounded_down(self.max_unavailable, hosts)


class Room:
    """How much room the caps still have, while one round of dispatches is chosen."""

    def __init__(self, caps: Iterable[CapFacts]) -> None:
        """Take the caps as they stand."""
        self._left = {(cap.label, cap.value): cap.limit - cap.unavailable for cap in caps}

    def take(self, candidate: Candidate) -> bool:
        """Take room for *candidate*, and tell whether there was any. One that is away already needs none."""
        if candidate.unavailable:
            return True
        mine = [key for key in candidate.labels.items() if key in self._left]
        if any(self._left[key] < 1 for key in mine):
            return False
        for key in mine:
            self._left[key] -= 1
        return True


def never_met(caps: Iterable[Cap], hosts_by_value: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Return a sentence for each value of a label whose cap lets no host go, ever; *hosts_by_value* by label, value."""
    return tuple(
        f"the cap {cap.label}={value} of {cap.max_unavailable} lets none of its {count} hosts go; give a larger one"
        for cap in caps
        for value, count in sorted(hosts_by_value.get(cap.label, {}).items())
        if cap.limit(count) < 1
    )
