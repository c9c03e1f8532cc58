"""Work that leaves the interpreter to others meanwhile, done in threads."""

import asyncio
from collections.abc import Callable


async def to_their_ends(*works: Callable[[], None]) -> None:
    """Run each of *works* in a thread, and wait for all even where nobody wants them any more: they hold a file.

    Raise what one of them raised, the first of them if several did.
    """
    running = [asyncio.ensure_future(asyncio.to_thread(work)) for work in works]
    given_up = False
    while not all(each.done() for each in running):
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError:
            given_up = True
    failures = [error for each in running if (error := each.exception()) is not None]
    if given_up:
        raise asyncio.CancelledError
    if failures:
        raise failures[0]
