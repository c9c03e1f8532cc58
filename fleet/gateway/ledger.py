"""Who gave what in one pull: requests, failures, times and verified bytes by source."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median_low

from fleet.gateway.sink import Segment
from fleet.gateway.verdict import Verdict
from fleet.mirrors.attempt import MOST_HOSTS, Attempt, AttemptResult
from fleet.mirrors.source import Source


@dataclass(slots=True, kw_only=True)
class _Tally:
    requests: int = 0
    failures: list[Verdict] = field(default_factory=list)
    skipped: list[Verdict] = field(default_factory=list)
    status: int = 0
    first_byte_ms: list[int] = field(default_factory=list)
    duration_ms: int = 0
    resumed_at: list[int] = field(default_factory=list)
    redirected_to: list[str] = field(default_factory=list)
    bytes: int = 0


class Ledger:
    """The account of one pull; not safe for several threads."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._passed: dict[str, list[tuple[int, int]]] = {}
        self.latest = ""
        """The source that gave bytes last."""

    def asked(self, source: str, resumed_at: int = 0) -> None:
        """Take note of a request; *resumed_at* is where it goes on after one that broke off."""
        tally = self._of(source)
        tally.requests += 1
        if resumed_at:
            tally.resumed_at.append(resumed_at)

    def answered(self, source: str, status: int, redirected_to: str = "") -> None:
        """Take note of the status that a source answered with, or the host to which it had sent; empty: to none."""
        tally = self._of(source)
        tally.status = status
        if redirected_to and redirected_to not in tally.redirected_to and len(tally.redirected_to) < MOST_HOSTS:
            tally.redirected_to.append(redirected_to)

    def began(self, source: str, first_byte_ms: int) -> None:
        """Take note of the first byte of a body."""
        self._of(source).first_byte_ms.append(first_byte_ms)
        self.latest = source

    def ended(self, source: str, duration_ms: int) -> None:
        """Take note of the end of a body, good or not."""
        self._of(source).duration_ms += duration_ms

    def failed(self, source: str, verdict: Verdict) -> None:
        """Take note of a request that failed."""
        tally = self._of(source)
        tally.failures.append(verdict)
        if verdict.status:
            tally.status = verdict.status

    def skipped(self, source: str, result: AttemptResult, reason: str) -> None:
        """Take note that a source was not asked, because of what it did a moment ago."""
        tally = self._of(source)
        if not (tally.skipped or tally.requests):
            tally.skipped.append(Verdict(result=result, reason=reason))

    def passed(self, digest: str, start: int, end: int, segments: Iterable[Segment]) -> None:
        """Take note that the engine has the bytes of *digest* from *start* up to *end*.

        What it got before counts once, and what an earlier pull told of does not count again.
        """
        covered = self._passed.get(digest, [])
        fresh = _missing(covered, start, end)
        self._passed[digest] = _joined([*covered, *fresh])
        for segment in segments:
            if segment.told:
                continue
            for first, last in fresh:
                self._of(segment.source).bytes += max(0, min(segment.end, last) - max(segment.start, first))

    def failures(self, sources: Sequence[Source]) -> str:
        """Return what each of *sources* failed by, for people: ``http://a: it answered 404; http://b: ...``."""
        rows = [(source.name, self._tallies.get(source.name, _Tally())) for source in sources]
        told = [(name, _telling([*tally.failures, *tally.skipped])) for name, tally in rows]
        return "; ".join(f"{name}: {verdict.reason}" for name, verdict in told if verdict)

    def attempts(self, sources: Sequence[Source]) -> tuple[Attempt, ...]:
        """Return one attempt for each of *sources*, in their order."""
        return tuple(self._attempt(source) for source in sources)

    def _attempt(self, source: Source) -> Attempt:
        tally = self._tallies.get(source.name, _Tally())
        first = _telling([*tally.failures, *tally.skipped])
        result = first.result if first else AttemptResult.SERVED if tally.bytes else AttemptResult.UNUSED
        reason = first.reason if first else ""
        return Attempt(
            source=source.name,
            role=source.role,
            result=result,
            reason=reason,
            status=tally.status,
            bytes=tally.bytes,
            requests=tally.requests,
            failures=len(tally.failures),
            first_byte_ms=median_low(tally.first_byte_ms) if tally.first_byte_ms else None,
            duration_ms=tally.duration_ms,
            resumed_at=tuple(tally.resumed_at),
            verified=bool(tally.bytes),
            redirected_to=tuple(tally.redirected_to),
        )

    def _of(self, source: str) -> _Tally:
        return self._tallies.setdefault(source, _Tally())


def _joined(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *parts*, which do not overlap, in order and with those that touch as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        touching = joined.pop() if joined and joined[-1][1] == start else None
        joined.append((touching[0] if touching else start, end))
    return joined


def _missing(covered: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Return the parts from *start* up to *end* that are not *covered*."""
    parts = [(start, end)]
    for first, last in covered:
        parts = [piece for a, b in parts for piece in ((a, min(b, first)), (max(a, last), b)) if piece[0] < piece[1]]
    return parts


def _telling(failures: Sequence[Verdict]) -> Verdict | None:
    """Return the failure that an attempt is known by: wrong bytes before all, else the first."""
    liars = [verdict for verdict in failures if verdict.result is AttemptResult.WRONG_BYTES]
    return next(iter((*liars, *failures)), None)
