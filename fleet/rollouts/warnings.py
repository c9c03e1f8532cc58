"""What a person should know of a spec before a rollout is begun: each warning is a sentence, and none of them stops it."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fleet.rollouts.caps import Cap, never_met
from fleet.rollouts.dispatching import times_of
from fleet.rollouts.naming import named
from fleet.rollouts.size import rounded_up
from fleet.rollouts.spec import RolloutSpec, WaveSpec
from fleet.rollouts.windows import HOST_ZONE, Times, Window

LOOK_AHEAD = timedelta(days=14)
"""A rollout that can begin on a host at no instant of this time is warned about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOn:
    """One host of the plan."""

    host: str
    labels: dict[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    """Those that its policy gives it."""


def warnings(
    spec: RolloutSpec,
    hosts: Sequence[PlannedOn],
    now: datetime,
    caps: Iterable[Cap] = (),
    fleet: Sequence[PlannedOn] = (),
    planned: Sequence[PlannedOn] = (),
    over: Container[int] = (),
) -> tuple[str, ...]:
    """Return the warnings about *spec* over *hosts*, whose turn is still to come.

    *fleet* is every host there is, which percentages of caps are of; *planned* are all hosts of the plan, where some had
    their turn; *over* are the numbers of its waves that ended: of these nothing is warned any more.

    What is worth a warning whatever the spec says, the plan itself tells.
    """
    return (*_never(spec, hosts, now), *_waves(spec, planned or hosts, over), *_caps(caps, hosts, fleet or hosts))


def _never(spec: RolloutSpec, hosts: Sequence[PlannedOn], now: datetime) -> list[str]:
    next_ = NextTimes(spec, now)
    names = [host.host for host in hosts if next_.binds(host) and next_.of(host) is None]
    if not names:
        return []
    return [
        f"{named(names)}: no window admits it within 14 days; look at the windows of the spec and of its policy, their"
        " cut-off, and the freezes"
    ]


class NextTimes:
    """When the turn of hosts may come at all, by windows and freezes: hosts that are alike are looked at once."""

    def __init__(self, spec: RolloutSpec, now: datetime) -> None:
        """Take what the rollout says, and the time."""
        self._times = times_of(spec)
        self._now = now
        self._next: dict[str, datetime | None] = {}
        self._missed: dict[tuple[str, datetime], int] = {}

    def binds(self, host: PlannedOn) -> bool:
        """Tell whether anything keeps this host to certain times."""
        return self._times.bind() or bool(host.windows)

    def of(self, host: PlannedOn) -> datetime | None:
        """Return the first instant, from now on, at which a recreate may begin; None: there is none within 14 days."""
        mine, key = self._times_of(host)
        if key not in self._next:
            self._next[key] = mine.next_admissible(self._now, self._now + LOOK_AHEAD, host.zone)
        return self._next[key]

    def missed(self, host: PlannedOn, since: datetime) -> int:
        """Return how many times the turn of this host might have come since then, and did not."""
        mine, key = self._times_of(host)
        if (key, since) not in self._missed:
            self._missed[key, since] = mine.missed(since, self._now, host.zone)
        return self._missed[key, since]

    def _times_of(self, host: PlannedOn) -> tuple[Times, str]:
        """Return what binds a host, and what is the same for all that are bound alike."""
        mine = self._times.for_host(host.host, host.labels, host.windows)
        in_own = any(window.zone == HOST_ZONE for window in (*mine.windows, *mine.own))
        return mine, repr((host.zone if in_own else "", mine.own, mine.freezes))


def _waves(spec: RolloutSpec, hosts: Sequence[PlannedOn], over: Container[int]) -> list[str]:
    found: list[str] = []
    left = len(hosts)
    for number, wave in enumerate(spec.waves):
        # How many hosts a selector takes is not known by their number alone.
        size = rounded_up(wave.size, len(hosts), left) if wave.selector is None else 0
        if number not in over:
            found += _of_wave(number, wave, size, hosts)
        left -= size
    return found


def _of_wave(number: int, wave: WaveSpec, size: int, hosts: Sequence[PlannedOn]) -> Iterator[str]:
    least = wave.gate.min_successes if wave.gate is not None else 0
    if wave.selector is None and size and size < least:
        yield f"wave {number + 1} has {size} host{'s'[: size != 1]} and asks for {least} successes; it can never pass"
    if wave.selector is not None and not any(wave.selector.takes_host(each.host, each.labels) for each in hosts):
        instead = "; hosts of later waves take their place" if least else ""
        yield f"wave {number + 1} takes no host of the plan{instead}; look at its selector"


def _caps(caps: Iterable[Cap], hosts: Sequence[PlannedOn], fleet: Sequence[PlannedOn]) -> tuple[str, ...]:
    """Return the caps that let none of *hosts* go; what they say of others is no concern of this rollout."""
    concerned, all_ = _by_value(hosts), _by_value(fleet)
    counts = {
        label: {value: count for value, count in values.items() if value in concerned.get(label, ())}
        for label, values in all_.items()
    }
    return never_met(caps, counts)


def _by_value(hosts: Iterable[PlannedOn]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for host in hosts:
        for label, value in host.labels.items():
            counts[label][value] += 1
    return {label: dict(values) for label, values in counts.items()}
