"""What is counted while it is written down: counters that no retention takes back, for metrics.

They go up in the transaction that writes the fact, and once for each fact however often a host tells it.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, select

from fleet.history.sql.upsert import insert_or_add
from fleet.history.tables.counters import counters, host_updates
from fleet.mirrors.attempt import AttemptResult
from fleet.updates.outcome import Result, Tier

Row = Mapping[str, Any]
Key = tuple["Counted", tuple[str, ...]]


class Counted(StrEnum):
    """What is counted, with the labels of each."""

    CHECKS = "checks"
    """Looks at what a tag resolves to: registry, outcome, by."""
    UPDATES = "updates"
    """Updates: outcome."""
    PHASES = "phases"
    """Durations of phases: phase, bucket."""
    PHASE_MS = "phase_ms"
    """Their sum, milliseconds: phase."""
    DOWNTIMES = "downtimes"
    """How long containers were away: bucket."""
    DOWNTIME_MS = "downtime_ms"
    """The sum of that, milliseconds: no label."""
    PULLS = "pulls"
    """Pulls: mirror, registry, outcome."""
    BYTES = "bytes"
    """Bytes that were passed to engines: mirror, role."""
    ATTEMPTS = "attempts"
    """Sources asked, or passed over: mirror, result."""
    FALLBACKS = "fallbacks"
    """Pulls that a later source served: mirror that did not, reason."""
    NOTIFICATIONS = "notifications"
    """What was sent to channels: outcome."""


NAMED = {Counted.CHECKS: 1, Counted.PULLS: 2, Counted.BYTES: 1, Counted.ATTEMPTS: 1, Counted.FALLBACKS: 1}
"""Of counters with labels that hosts name (mirrors, registries): how many of their labels those are, which stand first."""
MOST_SERIES = 500
"""So many label sets such a counter may have before what is new is counted as OTHER: a host must not fill the memory of whoever reads
metrics."""
_FEW = 100
"""So many labels are looked for one by one."""
OTHER = "other"
"""Stands for every name that came too late."""

PHASES = ("pull", "create", "stop", "start", "verify", "rollback")
"""The phases of an update, in their order."""
BUCKETS_MS = (100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 900_000, 3_600_000)
"""The upper ends of what durations are sorted into, milliseconds: from a stop at once to a pull over a thin line."""
LONGER = "inf"
"""The bucket of what is longer than all of them."""
_BUCKETS = (*map(str, BUCKETS_MS), LONGER)


class CheckedBy(StrEnum):
    """Who asked what a tag resolves to."""

    CENTRE = "centre"
    """The centre, with its own credentials."""
    HOST = "host"
    """A host, with its."""


class CheckOutcome(StrEnum):
    """What came of asking what a tag resolves to."""

    RESOLVED = "resolved"
    """A digest is known."""
    REFUSED = "refused"
    """The tag would have gone back to an older digest."""
    FAILED = "failed"
    """No source said one."""


class PullOutcomeWord(StrEnum):
    """What came of a pull, as it is counted."""

    PULLED = "pulled"
    """The engine got the image."""
    PRESENT = "present"
    """It had the image already; no byte was pulled."""
    FAILED = "failed"
    """It did not get it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What is to be added to the counters."""

    counts: Counter[Key] = field(default_factory=Counter)
    of_hosts: Counter[tuple[UUID, Result]] = field(default_factory=Counter)

    def add_updates(self, rows: Sequence[Row]) -> None:
        """Add updates that are in the history now."""
        self.of_hosts.update((row["host_id"], row["result"]) for row in rows)
        for result, count in Counter(row["result"] for row in rows).items():
            self.counts[Counted.UPDATES, (result.value,)] += count
        for phase in PHASES:
            self._add_durations(Counted.PHASES, Counted.PHASE_MS, (phase,), rows, f"{phase}_ms")
        self._add_durations(Counted.DOWNTIMES, Counted.DOWNTIME_MS, (), rows, "downtime_ms")

    def add_pulls(self, rows: Iterable[Row], tried: Iterable[Row]) -> None:
        """Add pulls that are in the history now, each with those of the attempts *tried* that are its own."""
        of_pull: dict[UUID, dict[int, Row]] = defaultdict(dict)
        for attempt in tried:
            of_pull[attempt["pull_id"]].setdefault(attempt["seq"], attempt)
        for row in rows:
            labels = (row["mirror"], registry_of(row["image"]), _pull_outcome(row).value)
            self.counts[Counted.PULLS, labels] += 1
            self._add_attempts([attempt for _, attempt in sorted(of_pull[row["id"]].items())])

    def add_check(self, image: str, outcome: CheckOutcome, by: CheckedBy) -> None:
        """Add one look at what a tag resolves to."""
        self.counts[Counted.CHECKS, (registry_of(image), outcome.value, by.value)] += 1

    def write(self, connection: Connection) -> None:
        """Add all of it: the last thing that a transaction does, so that none waits long for another's counters.

        What is counted by the centre and what by hosts never share a row: the inbox, of which one works, has its own.
        """
        counts = _within_limits(connection, self.counts)
        rows = [
            {"counter": counter.value, "labels": written(labels), "count": count}
            for (counter, labels), count in counts.items()
            if count
        ]
        rows.sort(key=lambda row: (row["counter"], row["labels"]))
        insert_or_add(connection, counters, rows, ("counter", "labels"), "count")
        of_hosts = [
            {"host_id": host_id, "result": result, "count": count}
            for (host_id, result), count in sorted(self.of_hosts.items(), key=lambda each: (each[0][0].int, each[0][1]))
        ]
        insert_or_add(connection, host_updates, of_hosts, ("host_id", "result"), "count")

    def _add_durations(
        self, counter: Counted, total: Counted, labels: tuple[str, ...], rows: Sequence[Row], column: str
    ) -> None:
        told = [ms for row in rows if (ms := row[column]) is not None]
        if told:
            for bucket, count in Counter(map(bucket_of, told)).items():
                self.counts[counter, (*labels, bucket)] += count
            self.counts[total, labels] += sum(told)

    def _add_attempts(self, tried: Sequence[Row]) -> None:
        served = [row["seq"] for row in tried if row["result"] is AttemptResult.SERVED]
        for row in tried:
            result, mirror = row["result"], row["mirror"]
            if result is AttemptResult.UNUSED:
                continue
            self.counts[Counted.ATTEMPTS, (mirror, result.value)] += 1
            self.counts[Counted.BYTES, (mirror, row["role"].value)] += row["bytes"]
            if result is not AttemptResult.SERVED and served and row["seq"] < served[-1]:
                self.counts[Counted.FALLBACKS, (mirror, result.value)] += 1


def registry_of(image: str) -> str:
    """Return the registry of a canonical ``registry/repository:tag``."""
    return image.partition("/")[0]


def bucket_of(ms: int) -> str:
    """Return the name of the bucket of a duration: its upper end in milliseconds."""
    return _BUCKETS[bisect_left(BUCKETS_MS, ms)]


def written(labels: Sequence[str]) -> str:
    """Return the values of labels as they stand in the table."""
    return json.dumps(labels, ensure_ascii=False, separators=(",", ":"))


def _pull_outcome(row: Row) -> PullOutcomeWord:
    if not row["ok"]:
        return PullOutcomeWord.FAILED
    return PullOutcomeWord.PRESENT if row["tier"] is Tier.PRESENT else PullOutcomeWord.PULLED


def _within_limits(connection: Connection, counts: Counter[Key]) -> Counter[Key]:
    """Return *counts*, with OTHER in the place of names that would make more series of a counter than there may be."""
    named = {(counter, written(labels)) for counter, labels in counts if counter in NAMED}
    if not named or _are_there(connection, named):
        return counts
    query = select(counters.c.counter, counters.c.labels)
    known: dict[str, set[str]] = defaultdict(set)
    for counter, labels in connection.execute(query.where(counters.c.counter.in_(sorted({each for each, _ in named})))):
        known[counter].add(labels)
    kept: Counter[Key] = Counter()
    for (counter, labels), count in counts.items():
        if counter in NAMED and (text := written(labels)) not in known[counter]:
            if len(known[counter]) >= MOST_SERIES:
                labels = (OTHER,) * NAMED[counter] + labels[NAMED[counter] :]  # noqa: PLW2901
            else:
                known[counter].add(text)
        kept[counter, labels] += count
    return kept


def _are_there(connection: Connection, named: Collection[tuple[Counted, str]]) -> bool:
    """Tell whether all of these series are there already, as they mostly are: all of a counter's are read for new ones alone."""
    c = counters.c
    texts = sorted({text for _, text in named})
    some = and_(c.counter.in_(sorted({counter for counter, _ in named})), c.labels.in_(texts))
    return len(texts) <= _FEW and set(named) <= set(
        map(tuple, connection.execute(select(c.counter, c.labels).where(some)))
    )
