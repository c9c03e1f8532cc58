"""The form of a metric: what the catalogue declares, and what is found of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """How the values of a metric are to be read."""

    COUNTER = "counter"
    """Never goes down; its rate tells."""
    GAUGE = "gauge"
    """How something stands."""
    HISTOGRAM = "histogram"
    """How many of what length there were; each part of it is a counter."""


class Part(StrEnum):
    """What is found together, and kept together until it is found anew."""

    CENTRE = "centre"
    """The processes of the centre and its servers."""
    FLEET = "fleet"
    """The fleet as a whole, and everything that is counted."""
    MIRRORS = "mirrors"
    """What hosts found of each mirror."""
    INVENTORY = "inventory"
    """Containers, counted over the whole fleet."""
    HOSTS = "hosts"
    """Each host by its name; may be turned off."""
    READING = "reading"
    """What it took to find the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One entry of the catalogue."""

    name: str
    """As people write it, in base units, with ``_total`` where it is a counter."""
    kind: MetricKind
    part: Part
    text: str
    """What it says, and what it does not."""
    labels: tuple[str, ...] = ()
    most: str = "1"
    """How many series there are at most, or what they grow with, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The value of a histogram."""

    buckets: Sequence[tuple[str, float]]
    """By their upper ends, rising and ending with ``+Inf``: how many were no longer."""
    total: float
    """The sum of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One series of a metric, now."""

    labels: tuple[str, ...]
    value: float | Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric with all its series."""

    metric: Metric
    samples: tuple[Sample, ...]

    @property
    def series(self) -> int:
        """How many time series whoever reads it keeps: a histogram has one for each bucket, its sum and its count."""
        return sum(_series(sample.value) for sample in self.samples)


def _series(value: float | Distribution) -> int:
    return len(value.buckets) + 2 if isinstance(value, Distribution) else 1


def series_of(families: Iterable[Family]) -> int:
    """Return how many time series these are."""
    return sum(family.series for family in families)
