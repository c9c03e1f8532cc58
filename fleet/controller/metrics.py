"""Metrics: each part found from the history and the centre's own processes, and kept for a while.

Hosts open no port: what is shown of them is what they told. A part that takes long to find, since it grows with the fleet, is found
as much more rarely, so that whoever asks often costs no more than who asks rarely.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from fleet.controller import metric_catalogue as known
from fleet.controller import pulse
from fleet.controller.condition_catalogue import CATALOGUE as CONDITIONS
from fleet.controller.heard import HeardCount
from fleet.controller.metric import Distribution, Family, Metric, Part, Sample, series_of
from fleet.errors import FleetError
from fleet.history.measured.fleet import Measured, measure, outbox_depth
from fleet.history.measured.inventory import HostMeasured, measure_hosts, measure_inventory
from fleet.history.measured.mirrors import MirrorMeasured, measure_mirrors
from fleet.history.noted.counting import BUCKETS_MS, LONGER, PHASES, Counted
from fleet.history.registries.limits import limits
from fleet.history.sql.database import Database
from fleet.history.upkeep.stats import whole_bytes
from fleet.road.up import InboxReader
from fleet.rollouts.states import Hold, RolloutState
from fleet.settings.centre import CentreSettings
from fleet.updates.outcome import Result

_GROWS = (Part.MIRRORS, Part.INVENTORY, Part.HOSTS)
SHARE = 50
"""What grows with the fleet is found again after so many times as long as it took: a fiftieth of the time at most."""
LONGEST_S = 600.0
"""But not later than this."""
MOST_VERSIONS = 20
"""How many versions of agents are told by name."""
_SECOND_MS = 1000

Found = tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """One part as it was last found."""

    families: Found
    at: float
    """When, by a clock that is never set."""
    took_s: float


class Metrics:
    """The metrics of one centre. Threads may ask at once; each part is found by one of them."""

    def __init__(
        self,
        db: Database,
        settings: CentreSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        heard: HeardCount | None = None,
    ) -> None:
        """Prepare; nothing is looked at before it is asked for. *inventory* and *heard* are what others of this process count too."""
        self._db = db
        self._heard = heard or HeardCount()
        self._settings = settings
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[Part, Kept] = {}
        self._ways: dict[Part, Callable[[], Found]] = {
            Part.CENTRE: self._centre,
            Part.FLEET: self._fleet,
            Part.MIRRORS: lambda: _mirrors(measure_mirrors(db)),
            Part.INVENTORY: self._inventory,
        }
        if settings.metrics.per_host:
            self._ways[Part.HOSTS] = lambda: _hosts(measure_hosts(db))

    def parts(self) -> list[tuple[Part, Kept]]:
        """Return every part, in their order, each found now where what is kept of it is too old.

        Raise DatabaseUnreachable: figures that are not known are not shown.
        """
        with self._lock:
            for part, find in self._ways.items():
                if self._is_old(part):
                    began = self._monotonic()
                    families = find()
                    ended = self._monotonic()
                    self._kept[part] = Kept(families, ended, ended - began)
            return [(part, self._kept[part]) for part in self._ways]

    def _is_old(self, part: Part) -> bool:
        kept = self._kept.get(part)
        if kept is None:
            return True
        keep_s = self._settings.metrics.keep_s
        if part in _GROWS:
            keep_s = max(keep_s, min(kept.took_s * SHARE, LONGEST_S))
        return self._monotonic() - kept.at >= keep_s

    def _centre(self) -> Found:
        state = self._settings.state_dir
        waiting = self._inbox_depth()
        queues = {"outbox": outbox_depth(self._db)} | ({"inbox": waiting} if waiting is not None else {})
        return (
            _family(known.BUILD, [((version("fleet-updater"),), 1)]),
            _family(known.LAST_TICK, _at((), pulse.last(state))),
            _family(known.TICK, _one(pulse.took_s(state))),
            _family(known.BROKER_UP, _one(float(waiting is not None))),
            _family(known.QUEUES, _by(sorted(queues.items()))),
            _family(known.DATABASE, _one(whole_bytes(self._db))),
        )

    def _inbox_depth(self) -> int | None:
        """Return how many messages wait to be read; None where the broker does not say."""
        try:
            reader = InboxReader(self._settings.broker_address())
        except FleetError:
            return None
        try:
            return reader.length()
        except FleetError:
            return None
        finally:
            reader.close()

    def _fleet(self) -> Found:
        heard = _family(known.PUSHES_HEARD, self._heard.series())
        return (*_standing(measure(self._db)), heard, *self._limits())

    def _limits(self) -> Iterator[Family]:
        now = self._db.now()
        rows = [row for row in limits(self._db) if row.holds(now)]
        yield _family(known.LIMIT_REMAINING, [((row.endpoint,), row.remaining) for row in rows])
        yield _family(known.LIMIT, [((row.endpoint,), row.limit) for row in rows])

    def _inventory(self) -> Found:
        found = measure_inventory(self._db)
        return (
            _family(known.CONTAINERS, _by(sorted(found.states.items()))),
            _family(known.FOLLOWED, _by(sorted(found.followed.items()))),
        )


def reading(parts: Iterable[tuple[Part, Kept]]) -> Found:
    """Return what it took to find *parts*, and how many series each has."""
    parts = list(parts)
    return (
        _family(known.SERIES, [((part.value,), series_of(kept.families)) for part, kept in parts]),
        _family(known.COLLECT, [((part.value,), kept.took_s) for part, kept in parts]),
    )


def _standing(found: Measured) -> Iterator[Family]:
    yield _family(known.HOSTS, [((state,), found.hosts.get(state, 0)) for state in ("new", "online", "silent")])
    yield _family(known.AGENTS, _by(_most(found.agents)))
    yield _family(known.COMMANDS, _by(sorted((state.value, n) for state, n in found.commands.items())))
    going = [state for state in RolloutState if not state.ended]
    yield _family(known.ROLLOUTS, [((state.value,), found.rollouts.get(state, 0)) for state in going])
    yield _family(known.HELD, [((hold.value,), found.holds.get(hold, 0)) for hold in Hold])
    newest = found.newest
    by_state = [((str(r.number), state.value), n) for r in newest for state, n in sorted(r.hosts.items())]
    yield _family(known.ROLLOUT_HOSTS, by_state)
    yield _family(known.ROLLOUT_EVENT, [each for r in newest for each in _at((str(r.number),), r.last_event)])
    plans = found.schedules
    yield _family(known.SCHEDULE_LAST, [each for s in plans for each in _at((s.name,), s.last_run_at)])
    yield _family(known.SCHEDULE_NEXT, [each for s in plans for each in _at((s.name,), s.next_run_at)])
    yield _family(known.SCHEDULE_MISSED, [((s.name,), s.missed) for s in plans])
    yield from _conditions(found)
    yield from _counted(found)


def _conditions(found: Measured) -> Iterator[Family]:
    look = found.look
    held = [
        ((kind.code, kind.severity.value), look.subjects[kind.code])
        for kind in CONDITIONS
        if look and kind.code in look.subjects
    ]
    yield _family(known.CONDITIONS, held)
    yield _family(known.CONDITIONS_AT, _at((), look.at if look else None))


_COUNTERS: Mapping[Counted, Metric] = {
    Counted.CHECKS: known.CHECKS,
    Counted.PULLS: known.PULLS,
    Counted.BYTES: known.BYTES,
    Counted.ATTEMPTS: known.ATTEMPTS,
    Counted.FALLBACKS: known.FALLBACKS,
}


def _counted(found: Measured) -> Iterator[Family]:
    counts = found.counts
    updates = counts.get(Counted.UPDATES, {})
    # All of them, from the beginning: the first failure after a start at nothing would be no rise.
    yield _family(known.UPDATES, [((result.value,), updates.get((result.value,), 0)) for result in Result])
    told = counts.get(Counted.NOTIFICATIONS, {})
    yield _family(known.NOTIFICATIONS, [((word,), told.get((word,), 0)) for word in ("sent", "failed", "given_up")])
    for counter, metric in _COUNTERS.items():
        yield _family(metric, sorted(counts.get(counter, {}).items()))
    phases, phase_ms = counts.get(Counted.PHASES, {}), counts.get(Counted.PHASE_MS, {})
    yield Family(
        metric=known.PHASES,
        samples=tuple(Sample(labels=(p,), value=_spread(phases, (p,), phase_ms.get((p,), 0))) for p in PHASES),
    )
    downtimes, total = counts.get(Counted.DOWNTIMES, {}), counts.get(Counted.DOWNTIME_MS, {}).get((), 0)
    yield Family(metric=known.DOWNTIME, samples=(Sample(labels=(), value=_spread(downtimes, (), total)),))


def _spread(counts: Mapping[tuple[str, ...], int], labels: tuple[str, ...], total_ms: int) -> Distribution:
    """Return a histogram in seconds; what an other release counted by other ends is in the next of these."""
    mine = {labels_of[-1]: count for labels_of, count in counts.items() if labels_of[:-1] == labels}
    up_to = [
        (str(end / _SECOND_MS), float(sum(n for name, n in mine.items() if name != LONGER and int(name) <= end)))
        for end in BUCKETS_MS
    ]
    return Distribution(buckets=(*up_to, ("+Inf", float(sum(mine.values())))), total=total_ms / _SECOND_MS)


def _mirrors(found: Iterable[MirrorMeasured]) -> Found:
    rows = list(found)
    return (
        _family(known.MIRROR_UP, [((m.mirror,), float(m.up)) for m in rows]),
        _family(known.MIRROR_HOSTS, [((m.mirror, s.value), n) for m in rows for s, n in sorted(m.hosts.items())]),
        _family(known.MIRROR_PROBE, [((m.mirror,), m.probe_ms / _SECOND_MS) for m in rows]),
        _family(known.MIRROR_SUCCESS, [each for m in rows for each in _at((m.mirror,), m.last_success)]),
        _family(known.MIRROR_TLS, [each for m in rows for each in _at((m.mirror,), m.tls_not_after)]),
    )


def _hosts(found: Iterable[HostMeasured]) -> Found:
    rows = list(found)
    told = [((h.name, h.agent_version, h.engine_version, h.architecture), 1) for h in rows]
    return (
        _family(known.HOST_INFO, told),
        _family(known.HOST_SEEN, [each for h in rows for each in _at((h.name,), h.last_seen_at)]),
        _family(known.HOST_CONTAINERS, [((h.name, s), n) for h in rows for s, n in sorted(h.containers.items())]),
        _family(known.HOST_UPDATES, [((h.name, r.value), n) for h in rows for r, n in sorted(h.updates.items())]),
    )


def _most(versions: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the versions that most hosts have, and what is left as one: a host may call its version what it likes."""
    in_order = sorted(versions.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(count for _, count in in_order[MOST_VERSIONS:])
    return in_order[:MOST_VERSIONS] + ([("other", rest)] if rest else [])


def _family(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    return Family(metric=metric, samples=tuple(Sample(labels=labels, value=value) for labels, value in samples))


def _by(counts: Iterable[tuple[str, int]]) -> list[tuple[tuple[str, ...], float]]:
    return [((label,), float(count)) for label, count in counts]


def _one(value: float | None) -> list[tuple[tuple[str, ...], float]]:
    return [] if value is None else [((), value)]


def _at(labels: tuple[str, ...], at: datetime | None) -> list[tuple[tuple[str, ...], float]]:
    return [] if at is None else [(labels, at.timestamp())]
