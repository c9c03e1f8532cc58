"""The feed, to all who follow it: one look a second at the database, however many they are, and none where nobody does.

Nobody who waits holds a thread or a connection to the database. Who is behind is read for alone, a page at a time and as fast
as he takes it; who has all gets what the one look found.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from fleet.api.events import LOST, FeedLost
from fleet.errors import FleetError
from fleet.history.noted import followed
from fleet.history.notify import feed
from fleet.history.notify.feed import Page, Told
from fleet.history.rules.tokens import token_by_hash
from fleet.history.sql.database import Database
from fleet.notify import rule
from fleet.notify.rule import Rule

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Seconds between two looks for events: what a person notices as at once."""
KEEP_ALIVE_S = 15.0
"""After so many quiet seconds a comment is sent, and behind which number to go on: proxies end what is silent for longer, and
who is gone is noticed by it."""
PROVED_S = 15.0
"""How often it is looked whether the tokens still hold by which followers came in, and noted that they follow."""
RETRY_MS = 3000
"""After how long a browser comes again that was cut off."""
MOST_FOLLOWERS = 300
"""How many may follow at once: each holds one of the door's connections."""
MOST_OF_ONE = 100
"""How many of them may be one caller's."""
_KEPT = 1000
"""How many events are kept in memory for those who are a little behind."""


@dataclass(eq=False, slots=True, kw_only=True)
class Follower:
    """One who follows the events over an open request."""

    who: str
    rule: Rule
    rollout: int = 0
    """The number of the rollout that is wanted alone; 0: of all."""
    token: str = ""
    """The hash of the token that he came with; empty: by the socket."""
    closed: bool = False

    def wants(self, told: Told) -> bool:
        """Tell whether he gets an event."""
        mine = not self.rollout or told.event.data.get("rollout") == self.rollout
        return mine and rule.wants(self.rule, told.event, told.about)

    @property
    def selects(self) -> bool:
        """Whether it must be known what events are about."""
        return bool(self.rule.selector.document())


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a follower begins; of the two one at most is given."""

    after: int | None = None
    """Behind this number; None: not said."""
    since: datetime | None = None
    """With what was written then."""


@dataclass(slots=True)
class Feed:
    """The feed of one process. All of it but the looks happens in one event loop."""

    db: Database
    source: str
    _followers: list[Follower] = field(default_factory=list)
    _ring: deque[Told] = field(default_factory=deque)
    _floor: int = 0
    """All events behind this number, up to :attr:`_head`, are in the ring."""
    _head: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once there is more, and replaced."""
    _looking: asyncio.Task[None] | None = None
    _ended: bool = False

    def enter(self, follower: Follower) -> str:
        """Let *follower* in; return why not, where there are too many."""
        if len(self._followers) >= MOST_FOLLOWERS:
            return f"{MOST_FOLLOWERS} follow the events already"
        if Counter(each.who for each in self._followers)[follower.who] >= MOST_OF_ONE:
            return f"{MOST_OF_ONE} streams of {follower.who} are open already; close one"
        if follower.selects and not self._selecting:
            self._ring.clear()  # what those events are about was not looked up
            self._floor = self._head
        self._followers.append(follower)
        return ""

    def leave(self, follower: Follower) -> None:
        """Let *follower* go."""
        if follower in self._followers:
            self._followers.remove(follower)

    def end(self) -> None:
        """Let all streams end; they come again."""
        self._ended = True
        self._tell()

    async def stream(self, follower: Follower, start: Start, *, follow: bool) -> AsyncIterator[bytes]:
        """Yield what *follower*, who entered, gets from *start* on: to the end of his days, or until he has all that there is."""
        yield format_sse_event(comment="fleet")
        if follow:
            await self._look_on()
        number, lost = await run_in_threadpool(self._begin, start, follow)
        if lost is not None:
            yield format_sse_event(event=LOST, data_str=lost.model_dump_json(), id=str(number))
        else:
            # Who is cut off before anything happened goes on from here as well.
            yield format_sse_event(id=str(number), retry=RETRY_MS)
        more = self._following(follower, number) if follow else self._catching_up(follower, number)
        async for chunk in more:
            yield chunk

    def _begin(self, start: Start, follow: bool) -> tuple[int, FeedLost | None]:
        """Return behind which number a follower begins, and what he is told where events before that are gone."""
        if follow:
            followed.note(self.db, each=self._each)
        else:
            feed.number_all(self.db)
        if start.since is not None:
            return feed.number_before(self.db, start.since), None
        bounds = feed.bounds(self.db)
        if start.after is None:
            return (self._head if follow else bounds.oldest - 1), None
        if not bounds.lost(start.after):
            return start.after, None
        return bounds.oldest - 1, FeedLost(after=start.after, oldest=bounds.oldest)

    async def _catching_up(self, follower: Follower, number: int) -> AsyncIterator[bytes]:
        page = Page(told=(), last=number, whole=True)
        while page.whole:
            page = await run_in_threadpool(feed.read_after, self.db, page.last, self.source, selecting=follower.selects)
            if chunk := _chunk(follower, page.told):
                yield chunk

    async def _following(self, follower: Follower, number: int) -> AsyncIterator[bytes]:
        while not (self._ended or follower.closed):
            news = self._news
            if number < self._floor:
                page = await run_in_threadpool(
                    feed.read_after, self.db, number, self.source, selecting=follower.selects
                )
                told, number = page.told, page.last if page.whole else max(page.last, self._floor)
                if chunk := _chunk(follower, told):
                    yield chunk
                continue
            told, number = self._behind(number), max(number, self._head)
            if chunk := _chunk(follower, told):
                yield chunk
                continue
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await news.wait()
            except TimeoutError:
                yield format_sse_event(comment="", id=str(number))

    def _behind(self, number: int) -> tuple[Told, ...]:
        """Return what the ring holds behind *number*, which is mostly little."""
        found: list[Told] = []
        for told in reversed(self._ring):
            if told.number <= number:
                break
            found.append(told)
        return tuple(reversed(found))

    @property
    def _selecting(self) -> bool:
        return any(each.selects for each in self._followers)

    @property
    def _each(self) -> bool:
        return any(each.rule.each_update for each in self._followers)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _look_on(self) -> None:
        """Let the feed be looked at from now on, and return once it was."""
        if self._looking is not None:
            return
        newest = await run_in_threadpool(self._newest)
        if self._looking is None:  # else another one has begun meanwhile
            self._ring.clear()
            self._head = self._floor = newest
            self._news = asyncio.Event()
            self._looking = asyncio.create_task(self._look())

    def _newest(self) -> int:
        feed.number_all(self.db)
        return feed.bounds(self.db).last

    async def _look(self) -> None:
        """Look for events, once a second, until nobody follows any more."""
        proved = time.monotonic()
        try:
            while self._followers and not self._ended:
                try:
                    more = await self._look_once()
                    if time.monotonic() - proved >= PROVED_S:
                        await self._prove()
                        proved = time.monotonic()
                except FleetError as error:
                    log.warning("events not read", extra={"reason": str(error)})
                    more = False
                except Exception:
                    # Whoever follows waits for the next look, which may do better.
                    log.exception("events not read")
                    more = False
                if not more:
                    await asyncio.sleep(LOOK_S)
        finally:
            self._looking = None

    async def _look_once(self) -> bool:
        page = await run_in_threadpool(self._page, self._head, self._selecting)
        self._ring.extend(page.told)
        while len(self._ring) > _KEPT:
            self._floor = self._ring.popleft().number
        if page.last > self._head:
            self._head = page.last
            self._tell()
        return page.whole

    def _page(self, number: int, selecting: bool) -> Page:
        feed.number_new(self.db)
        return feed.read_after(self.db, number, self.source, selecting=selecting)

    async def _prove(self) -> None:
        """Close the streams of tokens that hold no more, and note that the others follow."""
        tokens = {each.token for each in self._followers if each.token}
        gone = {token for token in tokens if await run_in_threadpool(token_by_hash, self.db, token) is None}
        await run_in_threadpool(followed.note, self.db, each=self._each)
        for each in self._followers:
            each.closed = each.closed or each.token in gone
        if gone:
            self._tell()


def _chunk(follower: Follower, told: tuple[Told, ...]) -> bytes:
    return b"".join(
        format_sse_event(id=str(each.number), data_str=each.document) for each in told if follower.wants(each)
    )
