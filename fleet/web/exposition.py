"""Metrics as the text that Prometheus reads: families in, bytes out. There is no registry, and nothing is kept by the process."""

import gzip
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from prometheus_client import core, exposition
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from fleet.controller.metric import Distribution, Family, MetricKind, Part
from fleet.controller.metrics import Kept, Metrics, reading

END = b"# EOF\n"
"""The last line of OpenMetrics, which says that nothing is missing."""
_LEVEL = 4
"""How hard the text is pressed: a twentieth is left of it, for a tenth of what it took to write it."""


class TextFormat(StrEnum):
    """The formats, by their media types; a closed set, whatever versions a header names."""

    PLAIN = "text/plain; version=0.0.4; charset=utf-8"
    """The format of Prometheus."""
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    """That of OpenMetrics."""

    @classmethod
    def accepted(cls, header: str) -> "TextFormat":
        """Return the better of the formats that whoever sends this ``Accept`` header reads."""
        return cls.OPENMETRICS if "application/openmetrics-text" in header else cls.PLAIN


@dataclass(frozen=True, slots=True)
class _Text:
    """What some families were written as."""

    of: tuple[tuple[Family, ...], ...]
    plain: bytes
    pressed: bytes | None = None
    """As gzip; None: nobody asked for it."""


@dataclass(slots=True)
class Written:
    """What one centre's metrics were last written as: each part once for each format, until it is found anew."""

    metrics: Metrics
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _parts: dict[tuple[Part, TextFormat], _Text] = field(default_factory=dict)
    _whole: dict[TextFormat, _Text] = field(default_factory=dict)

    def as_bytes(self, text_format: TextFormat, *, gzipped: bool) -> bytes:
        """Return every part, one behind the other; raises DatabaseUnreachable."""
        parts = self.metrics.parts()
        with self._lock:
            whole = self._all(parts, text_format)
            if not gzipped:
                return whole.plain
            # All of it at once: clients may read no more than the first of several gzips.
            pressed = whole.pressed or gzip.compress(whole.plain, compresslevel=_LEVEL, mtime=0)
            self._whole[text_format] = replace(whole, pressed=pressed)
            return pressed

    def _all(self, parts: Sequence[tuple[Part, Kept]], text_format: TextFormat) -> _Text:
        of = tuple(kept.families for _, kept in parts)
        known = self._whole.get(text_format)
        if known is None or not _same(known.of, of):
            texts = [self._part(part, kept.families, text_format) for part, kept in parts]
            last = text_of(reading(parts), text_format) + (END if text_format is TextFormat.OPENMETRICS else b"")
            known = self._whole[text_format] = _Text(of, b"".join([*texts, last]))
        return known

    def _part(self, part: Part, families: tuple[Family, ...], text_format: TextFormat) -> bytes:
        known = self._parts.get((part, text_format))
        if known is None or not _same(known.of, (families,)):
            known = self._parts[part, text_format] = _Text((families,), text_of(families, text_format))
        return known.plain


def _same(known: Sequence[object], now: Sequence[object]) -> bool:
    """Tell whether these are the very same objects: to compare what is in them takes longer than to write it."""
    return len(known) == len(now) and all(one is other for one, other in zip(known, now, strict=True))


def text_of(families: Iterable[Family], text_format: TextFormat) -> bytes:
    """Return *families* as text, without its end: parts are put together."""
    collector = _Families(families)
    if text_format is TextFormat.OPENMETRICS:
        written: bytes = openmetrics.generate_latest(collector, version="1.0.0")  # type: ignore[no-untyped-call]
        return written.removesuffix(END)
    return exposition.generate_latest(collector)


class _Families(Collector):
    """Families that are known already, as the library wants them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[core.Metric]:
        """Yield each family that has a series."""
        return (_as_library(family) for family in self._families if family.samples)


def _as_library(family: Family) -> core.Metric:
    metric = family.metric
    if metric.kind is MetricKind.HISTOGRAM:
        histogram = core.HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for sample in family.samples:
            assert isinstance(sample.value, Distribution)
            histogram.add_metric(sample.labels, buckets=list(sample.value.buckets), sum_value=sample.value.total)
        return histogram
    kind = core.CounterMetricFamily if metric.kind is MetricKind.COUNTER else core.GaugeMetricFamily
    plain = kind(metric.name, metric.text, labels=metric.labels)
    for sample in family.samples:
        assert not isinstance(sample.value, Distribution)
        plain.add_metric(sample.labels, sample.value)
    return plain
