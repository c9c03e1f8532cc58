"""How hosts behaved so far, and simulated hosts drawn from that: the same seed draws the same hosts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from random import Random
from uuid import UUID

from fleet.rollouts.rehearsed import Rehearsed, Span
from fleet.rollouts.silence import SILENT_AFTER
from fleet.rollouts.states import FailureClass

FEW = 3
"""Fewer values of its own, and a host's times are drawn from those of the whole fleet."""

WEIGHT = 2
"""How many updates the whole fleet's share of failures counts for, beside a host's own."""

PULL_MS, APPLY_MS = 30_000, 10_000
"""Where nothing at all is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostHabits:
    """What the history knows of one host."""

    id: UUID
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    away_ms: int | None = None
    """For how long nothing has been heard of it, where it is silent now; None: it is not."""
    unhealthy: bool = False
    """Whether it failed at its latest try."""
    updates: int = 0
    """How many of its updates were looked at."""
    failures: tuple[FailureClass, ...] = ()
    """Whose fault each of those was that failed."""
    pulls_ms: tuple[int, ...] = ()
    applies_ms: tuple[int, ...] = ()
    """From the new container's making to the end of its verification."""
    spells_ms: tuple[int, ...] = ()
    """How long it was silent each time that a rollout waited for it: from when it was parked."""
    known_ms: int = 0
    """For how long it has been known."""
    mirror: str = ""
    """The source that served most of its pulls; empty: none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What shall be worse than the history, host by host."""

    off: tuple[str, ...] = ()
    """Hosts by name, as patterns, that are switched off."""
    off_for: timedelta | None = None
    """For how long; None: they do not come back."""
    slower: int = 1
    """How many times as long pulls take."""
    slow_mirror: str = ""
    """Only those of hosts that a source with this in its name served most; empty: all."""

    def without_effect(self, habits: Iterable[HostHabits]) -> str:
        """Return what of this fits none of these hosts, in words; empty where all of it does."""
        known = list(habits)
        for pattern in self.off:
            if not any(fnmatchcase(each.name, pattern) for each in known):
                return f"switch off {pattern!r}: no host of this rollout has such a name"
        if self.slow_mirror and not any(self.slow_mirror in each.mirror for each in known):
            return f"slow {self.slow_mirror!r} down: no host of this rollout is known to pull most from such a mirror"
        return ""


AS_BEFORE = Chosen()
"""Nothing is worse than the history."""


def simulated(
    habits: Sequence[HostHabits], begin: datetime, longest: timedelta, *, seed: int, chosen: Chosen
) -> tuple[Rehearsed, ...]:
    """Return the hosts, each behaving as one of its days did, from *begin* until *longest* after it."""
    fleet = _Fleet.of(habits)
    return tuple(_host(each, fleet, begin, longest, Random(f"{seed} {each.id}"), chosen) for each in habits)  # noqa: S311 (a simulation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """What is common, for hosts of which little is known."""

    pulls_ms: tuple[int, ...]
    applies_ms: tuple[int, ...]
    spells_ms: tuple[int, ...]
    failures: tuple[FailureClass, ...]
    failing: float
    """The share of updates that failed."""

    @classmethod
    def of(cls, habits: Sequence[HostHabits]) -> "_Fleet":
        failures = tuple(failure for each in habits for failure in each.failures)
        return cls(
            pulls_ms=tuple(ms for each in habits for ms in each.pulls_ms),
            applies_ms=tuple(ms for each in habits for ms in each.applies_ms),
            spells_ms=tuple(ms for each in habits for ms in each.spells_ms),
            failures=failures,
            failing=len(failures) / max(1, sum(each.updates for each in habits)),
        )


def _host(
    habits: HostHabits, fleet: _Fleet, begin: datetime, longest: timedelta, chance: Random, chosen: Chosen
) -> Rehearsed:
    # Each drawn in the same order, whatever is chosen: two rehearsals differ by their faults alone.
    pull_ms = _time(habits.pulls_ms, fleet.pulls_ms, PULL_MS, chance)
    apply_ms = _time(habits.applies_ms, fleet.applies_ms, APPLY_MS, chance)
    fails = _failure(habits, fleet, chance)
    away = _spells(habits, fleet, begin, longest, chance)
    slow = chosen.slower if chosen.slow_mirror in habits.mirror else 1
    if any(fnmatchcase(habits.name, pattern) for pattern in chosen.off):
        away = ((begin - longest, begin + min(chosen.off_for or longest, longest)), *away)
    return Rehearsed(
        id=habits.id,
        name=habits.name,
        labels=habits.labels,
        zone=habits.zone,
        pull_ms=pull_ms * slow,
        apply_ms=apply_ms,
        away=away,
        fails=fails,
        unhealthy=habits.unhealthy,
    )


def _time(own: Sequence[int], common: Sequence[int], unknown: int, chance: Random) -> int:
    values = own if len(own) >= FEW else common
    return chance.choice(values) if values else unknown


def _failure(habits: HostHabits, fleet: _Fleet, chance: Random) -> FailureClass | None:
    """Draw whether, and how, the host fails: by its own share, drawn towards that of the fleet where little is known."""
    share = (len(habits.failures) + WEIGHT * fleet.failing) / (habits.updates + WEIGHT)
    drawn, classes = chance.random(), habits.failures or fleet.failures
    which = chance.choice(classes) if classes else None
    return which if drawn < share else None


def _spells(habits: HostHabits, fleet: _Fleet, begin: datetime, longest: timedelta, chance: Random) -> tuple[Span, ...]:
    """Draw when nothing is heard of it: where it is silent now, since it was, and later as often, and for as long, as before.

    It was parked when it had been silent for a while already, so that each time was longer by that.
    """
    lengths, ends = habits.spells_ms or fleet.spells_ms, begin + longest
    found: list[Span] = []
    at = begin
    if habits.away_ms is not None:
        at = begin + timedelta(milliseconds=chance.choice(lengths)) if lengths else ends
        found.append((begin - timedelta(milliseconds=habits.away_ms), at))
    if not habits.spells_ms or not habits.known_ms:
        return tuple(found)
    between_ms = max(1, habits.known_ms // len(habits.spells_ms))
    while (at := at + timedelta(milliseconds=chance.expovariate(1 / between_ms))) < ends:
        back = at + SILENT_AFTER + timedelta(milliseconds=chance.choice(habits.spells_ms))
        found.append((at, back))
        at = back
    return tuple(found)


def unknown(habits: Iterable[HostHabits]) -> tuple[str, ...]:
    """Return the hosts of which too little is known, by name: they behave as any of the fleet does."""
    return tuple(each.name for each in habits if len(each.applies_ms) < FEW)
