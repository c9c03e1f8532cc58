"""Fetches one manifest or blob from the sources in their order, changing source in the middle where one breaks off.

Every byte is kept with the name of who gave it, and nothing counts before the digest is proved. Where bytes of several
sources together are wrong, each source is tried alone, and the proved bytes then tell who lied.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fleet.gateway.ahead import Ahead, Stretch
from fleet.gateway.faults import Faults
from fleet.gateway.sink import Sink, SpoolFile
from fleet.gateway.take import Taking
from fleet.gateway.verdict import SourceFailed, Verdict, failed
from fleet.gateway.wanted import Means, Wanted
from fleet.mirrors.announce import PROVED
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.route import Omission, Standing, route
from fleet.mirrors.source import Source

log = logging.getLogger(__name__)

IDLE_ROUNDS = 2
"""So often all sources are asked without one more byte: what is not chance then fails again."""
MOST_ROUNDS = 16
_PROGRESS_BYTES = 1024 * 1024
"""For each such piece of a blob one more round is allowed: a line that breaks often still gets there, a trickle not."""
_NO_PARTS = frozenset({400, 405, 416, 501})
"""What servers answer that do not know the Range header, instead of ignoring it."""


class FetchFailed(Exception):
    """No source could give it; the text begins with "cannot"."""


@dataclass(slots=True, kw_only=True)
class Fetch:
    """One thing being fetched."""

    wanted: Wanted
    sink: Sink
    means: Means
    _tried: set[str] = field(default_factory=set)
    """Sources asked in this round."""
    _alone: bool = False
    _defied: bool = False
    """Whether all breakers were ignored already."""
    _ahead: Ahead | None = None
    """What is fetched beside the bytes whose turn it is; None where everything comes in one piece."""
    _whole_only: set[str] = field(default_factory=set)
    """Sources that know no parts."""
    _faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no source to blame."""
        self._faults = Faults(wanted=self.wanted, means=self.means)

    async def run(self) -> None:
        """Fill the sink with the proved bytes; raise FetchFailed where no source gives them, OSError for a full disk."""
        self._alone = self.wanted.whole
        if self.sink.size and self.sink.size == self.wanted.size:
            if await self.sink.proved():
                return
            self.sink.reset()
        self._ahead = self._cut()
        try:
            await self._rounds()
        finally:
            await self._give_up_ahead()

    async def _rounds(self) -> None:
        idle = 0
        for _ in range(MOST_ROUNDS + self.wanted.cap // _PROGRESS_BYTES):
            before, self._faults.rest_s = self.sink.size, 0.0
            if await self._round():
                self._faults.settle(self.sink)
                self._tell()
                return
            idle = 0 if self.sink.size > before and not self._alone else idle + 1
            if idle >= IDLE_ROUNDS or not self._may_go_on():
                break
            await asyncio.sleep(self._faults.rest_s or (self.means.limits.pause_s if idle else 0))
        raise FetchFailed(f"cannot get {self._named()} from any source: {self._failures()}")

    async def _round(self) -> bool:
        """Ask each source that may have it once; return whether it is complete and proved."""
        self._tried = set()
        while source := self._next():
            self._tried.add(source.name)
            if self._alone:
                await self._start_anew()
            began, before = self.means.clock.monotonic(), self.sink.size
            try:
                await self._take_to_the_end(source)
                if await self._proved(source):
                    return True
            except SourceFailed as error:
                in_vain = self._alone or self.sink.size <= before
                await self._blame(source, error.verdict, self.means.clock.monotonic() - began if in_vain else 0.0)
            except OSError:
                raise
            except Exception as error:
                # Whatever a source thought of that nobody here did: it costs its own turn, and what it gave.
                await self._start_anew()
                log.exception("answer of a source cannot be understood", extra={"mirror": source.name})
                reason = f"its answer cannot be understood ({type(error).__name__})"
                await self._blame(source, Verdict(result=AttemptResult.PROTOCOL, reason=reason))
        return False

    async def _take_to_the_end(self, source: Source) -> None:
        """Read what is missing; what goes wrong after the last byte, be it slow or without an end, is no failure."""
        try:
            await self._take(source)
        except SourceFailed:
            if self.wanted.size is None or self.sink.size != self.wanted.size:
                raise

    async def _take(self, source: Source) -> None:
        """Read what is missing from *source*, piece after piece; raise SourceFailed where it gives less."""
        resumed = True
        while True:
            if self._ahead is not None:
                await self._ahead.join(source)
                if self.sink.size == self.wanted.size:
                    return
                verdict = self._ahead.verdict(source)
                if verdict and (verdict.result is not AttemptResult.SLOW or self._another(source)):
                    raise SourceFailed(verdict)
            try:
                await self._taking(source, resumed=resumed).run(self._another)
            except SourceFailed as error:
                if self.sink.size or error.verdict.status not in _NO_PARTS or source.name in self._whole_only:
                    raise
                # It was asked for the first part, and does not know what that is.
                self._whole_only.add(source.name)
                continue
            if self.wanted.size is None or self.sink.size >= self.wanted.size:
                return
            resumed = False

    def _taking(self, source: Source, *, resumed: bool) -> Taking:
        taking = Taking(source=source, wanted=self.wanted, sink=self.sink, means=self.means, resumed=resumed)
        ahead = self._ahead
        if ahead is None or source.name in self._whole_only:
            return taking
        return replace(
            taking,
            until=ahead.turn(self.sink.size),
            flowing=lambda bytes_s: ahead.flows(source, bytes_s),
            whole=self._give_up_ahead,
        )

    def _cut(self) -> Ahead | None:
        """Return how this is cut into pieces, None where it is too small for that."""
        wanted, limits, file = self.wanted, self.means.limits, self.sink
        if (
            wanted.whole
            or wanted.size is None
            or wanted.size < 2 * limits.piece_bytes
            or not isinstance(file, SpoolFile)
        ):
            return None

        async def fetch(source: Source, stretch: Stretch) -> None:
            taking = Taking(
                source=source,
                wanted=wanted,
                sink=stretch,
                means=self.means,
                until=stretch.piece.end,
                resumed=False,
                exact=True,
            )
            await taking.run(lambda _: True)

        return Ahead(
            file=file,
            size=wanted.size,
            fetch=fetch,
            spare=self.means.spare,
            limits=limits,
            failed=lambda source, verdict: self.means.ledger.failed(source.name, verdict),
        )

    async def _start_anew(self) -> None:
        """Forget all bytes; from now on they come in one piece, so that each source answers for its own."""
        await self._give_up_ahead()
        self.sink.reset()

    async def _give_up_ahead(self) -> None:
        """Have nobody write into the file but whoever has the turn, from now on."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead.end()

    def _next(self) -> Source | None:
        """Return the next source to ask in this round."""
        means = self.means
        found = route(self.wanted.reference, means.table, self._standing())
        for skipped in found.skipped:
            if skipped.omission is Omission.BREAKER:
                means.ledger.skipped(skipped.source.name, AttemptResult.BREAKER_OPEN, skipped.reason)
            elif skipped.omission is Omission.ABSENT:
                means.ledger.skipped(skipped.source.name, AttemptResult.NOT_FOUND, skipped.reason)
        if found.ignored_breakers and self._defied and not self._tried:
            return None
        chosen = next((source for source in found.sources if source.name not in self._tried), None)
        self._defied = self._defied or (found.ignored_breakers and chosen is not None)
        return chosen

    def _another(self, source: Source) -> bool:
        """Tell whether a source is left that could go on in place of *source*."""
        found = route(self.wanted.reference, self.means.table, self._standing())
        return not found.ignored_breakers and any(
            other.name != source.name and other.name not in self._tried for other in found.sources
        )

    async def _proved(self, source: Source) -> bool:
        """Tell whether the bytes are right; raise SourceFailed where *source* alone gave wrong ones.

        Where several gave them, nobody is to blame yet: from now on each is tried alone.
        """
        if await self.sink.proved():
            self.means.breakers.succeeded(source.name, self.wanted.kind)
            self.means.strangers.served(source, self.wanted.reference)
            return True
        if await self._forget_inherited(source):
            return False
        if len({segment.source for segment in self.sink.segments}) == 1:
            raise failed(AttemptResult.WRONG_BYTES, "its bytes do not have the digest")
        self._faults.suspect(self.sink)
        self._alone, self._tried = True, set()
        self.means.breakers.released(source.name, self.wanted.kind)
        return False

    async def _forget_inherited(self, source: Source) -> bool:
        """Where wrong bytes hold some of an earlier pull, forget all: the disk may be at fault as well as who gave them."""
        if not isinstance(self.sink, SpoolFile) or not self.sink.inherited:
            return False
        log.warning("bytes of an earlier pull are wrong", extra={"digest": str(self.wanted.digest)})
        await self._start_anew()
        self._tried = set()
        self.means.breakers.released(source.name, self.wanted.kind)
        return True

    async def _blame(self, source: Source, verdict: Verdict, waited_s: float = 0.0) -> None:
        """Take note of a failure, for which was *waited_s* in vain, and forget wrong bytes."""
        self._faults.blame(source, verdict, waited_s=waited_s, gave=self.sink.size > 0)
        if verdict.result is AttemptResult.WRONG_BYTES:
            await self._start_anew()

    def _may_go_on(self) -> bool:
        """Tell whether another round could do better: a source is left that is not useless."""
        return bool(route(self.wanted.reference, self.means.table, replace(self._standing(), open={})).sources)

    def _standing(self) -> Standing:
        """Return how the sources stand for what is wanted."""
        means, wanted = self.means, self.wanted
        absent = {
            **means.strangers.of(wanted.reference),
            **means.breakers.absent(str(wanted.digest)),
            **self._faults.useless,
        }
        return Standing(open=means.breakers.open(wanted.kind), absent=absent, own=means.own)

    def _tell(self) -> None:
        """Say who gave which part of what was proved: the history sums it up for the whole image."""
        gave: Counter[str] = Counter()
        for segment in self.sink.segments:
            gave[segment.source] += segment.end - segment.start
        fields = {"image": self.wanted.reference.familiar, "digest": str(self.wanted.digest), "sources": dict(gave)}
        log.debug(PROVED, extra={**fields, "what": self.wanted.kind, "bytes": self.sink.size})

    def _named(self) -> str:
        kind = "the manifest" if self.wanted.kind == "manifests" else "the layer"
        return f"{kind} {self.wanted.digest.short} of {self.wanted.reference.familiar_name}"

    def _failures(self) -> str:
        sources: Sequence[Source] = route(self.wanted.reference, self.means.table, Standing(own=self.means.own)).sources
        return self.means.ledger.failures(sources) or "none is left to ask"
