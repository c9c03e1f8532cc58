"""Work that leaves the interpreter to others meanwhile, done in threads, and waiting for what must not be left alone."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any


async def to_their_ends(*works: Callable[[], None]) -> None:
    """Run each of *works* in a thread, and wait for all even where nobody wants them any more: they hold a file.

    Raise what one of them raised, the first of them if several did.
    """
    running = [asyncio.ensure_future(asyncio.to_thread(work)) for work in works]
    try:
        await all_ended(running)
    finally:
        failures = [error for each in running if (error := each.exception()) is not None]
    if failures:
        raise failures[0]


async def all_ended(running: Collection["asyncio.Future[Any]"]) -> None:
    """Wait until all of *running* have ended, also where nobody wants that any more; CancelledError comes only then."""
    given_up = False
    while not all(each.done() for each in running):
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError:
            given_up = True
    if given_up:
        raise asyncio.CancelledError
