"""Reads from one source, in one request, what is still missing of one manifest or blob."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fleet.clock import since_ms
from fleet.errors import FleetError
from fleet.gateway.gauge import Gauge
from fleet.gateway.pour import Basin, Pouring
from fleet.gateway.verdict import SourceFailed, failed, of_answer, of_error
from fleet.gateway.wanted import Means, Wanted
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Source
from fleet.registry.answer import Answer


class Sink(Protocol):
    """Takes bytes in order."""

    @property
    def size(self) -> int:
        """Where in the whole the bytes so far end."""
        ...

    def append(self, chunk: bytes, source: str) -> None:
        """Take in more bytes; raise OSError where there is no room."""
        ...


LEAST_PART_BYTES = 1024 * 1024
"""Who gives less than this of a part that was asked for gives too little for one request."""


async def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """One request to one source."""

    source: Source
    wanted: Wanted
    sink: Sink
    means: Means
    until: int | None = None
    """Where the bytes end that are asked for; None: with the whole."""
    resumed: bool = True
    """Whether it goes on where another request broke off, if it does not begin at the start."""
    exact: bool = False
    """Whether an answer with other bytes than those asked for is of no use."""
    flowing: Callable[[float], bool] = lambda _: True
    """Told how fast the asked part of a larger whole comes, in bytes a second; returns whether that is enough to know."""

    whole: Callable[[], Awaitable[None]] = _nothing
    """Awaited where the whole comes in place of the asked part: then nobody else may write what comes after that part."""

    async def run(self, another: Callable[[Source], bool]) -> None:
        """Read what is still missing; raise SourceFailed where the source gives less.

        *another* tells whether a source is left that could go on where this one is slow.
        """
        means, name, offset = self.means, self.source.name, self.sink.size
        began = means.clock.monotonic()
        means.breakers.asking(name, self.wanted.kind)
        means.ledger.asked(name, offset if self.resumed else 0)
        headers = self._headers(offset)
        client = means.upstreams.client(self.source, self.wanted.reference, means.table.insecure)
        try:
            async with client.open(
                "GET",
                self.wanted.kind,
                self.wanted.reference.repository,
                str(self.wanted.digest),
                headers=headers,
            ) as answer:
                opened = means.clock.monotonic()
                means.ledger.answered(name, answer.status, answer.redirected_to)
                wrong = of_answer(answer, offset=offset, ranged="Range" in headers, now=means.clock.now())
                if wrong := wrong or self._misfit(answer, offset):
                    raise wrong
                if self.until is not None and answer.status == 200:
                    await self.whole()
                chunks = aiter(answer.chunks())
                chunk = await self._first(answer, chunks, began)
                gauge = self._gauge(answer, opened, another)
                end, skip = self._end(answer, offset), offset if answer.status == 200 else 0
                await self._read(answer, chunk, chunks, gauge, end=end, skip=skip)
        except FleetError as error:
            patience = means.limits.patience
            patient = means.clock.monotonic() - began >= 0.9 * min(patience.first_byte_s, patience.silence_s)
            raise of_error(error, patient=patient) from error
        except BaseException as error:
            if not isinstance(error, SourceFailed):
                means.breakers.released(name, self.wanted.kind)
            raise
        finally:
            if self.sink.size > offset:
                means.ledger.ended(name, since_ms(means.clock, began))

    def _headers(self, offset: int) -> Mapping[str, str]:
        if self.until is not None:
            return {"Via": self.means.via, "Range": f"bytes={offset}-{self.until - 1}"}
        return {"Via": self.means.via, **({"Range": f"bytes={offset}-"} if offset else {})}

    def _end(self, answer: Answer, offset: int) -> int | None:
        """Return where the bytes of *answer* end, None where nobody knows.

        A server may give less than the asked part, from its start on (RFC 9110, 15.3.7), and is asked for the rest then.
        """
        if answer.status != 206:
            return self.wanted.size
        end = self.until if self.until is not None else self.wanted.size
        if end is None or answer.length is None or answer.length < LEAST_PART_BYTES:
            return end
        return min(end, offset + answer.length)

    def _misfit(self, answer: Answer, offset: int) -> SourceFailed | None:
        """Return what is wrong where the announced size cannot be that of the bytes that are missing."""
        if self.exact and answer.status != 206:
            return failed(AttemptResult.PROTOCOL, "it does not give a part of a layer alone", status=answer.status)
        end = self._end(answer, offset)
        if end is None or answer.length is None:
            return None
        expected = end - (offset if answer.status == 206 else 0)
        if answer.length == expected:
            return None
        return failed(
            AttemptResult.PROTOCOL,
            f"it announced {answer.length} bytes where {expected} are missing",
            status=answer.status,
        )

    async def _read(
        self,
        answer: Answer,
        chunk: bytes,
        chunks: AsyncIterator[bytes],
        gauge: Gauge,
        *,
        end: int | None,
        skip: int,
    ) -> None:
        """Take the body's bytes, *chunk* and those after it, but for the first *skip*, as long as they come fast enough."""
        while chunk:
            came = len(chunk)
            chunk, skip = chunk[skip:], max(skip - came, 0)
            if chunk and self._put(chunk, end, sized=answer.length is not None):
                return
            gauge.came(came, self.sink.size)
            if not skip and end is not None:
                await self._pour(answer, end, gauge)
            chunk = await self._further(answer, chunks)
        if end is not None and self.sink.size < end:
            raise failed(AttemptResult.CUT, f"it ended after {self.sink.size} of {end} bytes")

    async def _first(self, answer: Answer, chunks: AsyncIterator[bytes], began: float) -> bytes:
        """Wait for the first bytes of the body, no longer than a request may take; empty where there are none."""
        clock, name = self.means.clock, self.source.name
        left_s = self.means.limits.patience.first_byte_s - (clock.monotonic() - began)
        try:
            async with asyncio.timeout(max(left_s, 0.1)):
                chunk = await anext(chunks, b"")
        except TimeoutError as error:
            raise failed(AttemptResult.TIMEOUT, "it sent no first byte in time", status=answer.status) from error
        if chunk:
            self.means.ledger.began(name, since_ms(clock, began))
        return chunk

    async def _further(self, answer: Answer, chunks: AsyncIterator[bytes]) -> bytes:
        """Wait for more of the body; what is none of it, such as the head of a chunk that drips, is silence."""
        try:
            async with asyncio.timeout(self.means.limits.patience.silence_s):
                return await anext(chunks, b"")
        except TimeoutError as error:
            raise failed(AttemptResult.STALLED, "it stopped sending bytes of the body", status=answer.status) from error

    def _gauge(self, answer: Answer, opened: float, another: Callable[[Source], bool]) -> Gauge:
        return Gauge(
            clock=self.means.clock,
            limits=self.means.limits,
            size=self.sink.size,
            began_at=opened,
            another=lambda: another(self.source),
            flowing=self.flowing if answer.status == 206 and self.until is not None else None,
        )

    async def _pour(self, answer: Answer, end: int, gauge: Gauge) -> None:
        """Read what is long in a thread, where that can be."""
        sink, limits = self.sink, self.means.limits
        if end - sink.size < limits.poured_bytes or not isinstance(sink, Basin) or (rest := answer.rest()) is None:
            return
        pouring = Pouring(
            rest=rest,
            basin=sink,
            source=self.source.name,
            gauge=gauge,
            clock=self.means.clock,
            silence_s=limits.patience.silence_s,
        )
        await pouring.run(end)

    def _put(self, chunk: bytes, end: int | None, *, sized: bool) -> bool:
        """Keep *chunk*; return whether all bytes up to *end* are here and nothing that may come counts."""
        room = (self.wanted.cap if end is None else end) - self.sink.size
        if end is None and len(chunk) > room:
            raise failed(AttemptResult.PROTOCOL, f"it sent more than {self.wanted.cap} bytes")
        self.sink.append(chunk[:room], self.source.name)
        return len(chunk) > room or (self.sink.size == end and not sized)
