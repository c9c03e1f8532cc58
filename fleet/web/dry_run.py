"""What a request would come to: it is carried out in a transaction that is taken back at its end, under a path of its own.

A path of its own, and no mark on the request: a server of an earlier version, which knows of none of it, finds nothing there
and does nothing.
"""

import re
from contextlib import ExitStack

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet.api.paths import DRY_RUN, PREFIX
from fleet.errors import Refused
from fleet.history.sql.database import Database

_OPEN = "fleet.dry-run"
_INSIDE = re.compile(
    "/(rollouts/[^/]+/[^/]+|updates|undo|plans/[^/]+/apply|stops(/.*)?|caps/[^/]+|policies|schedules(/.*)?|tokens/[^/]+)"
)
"""What lies in the database alone. Whatever else would speak to the broker, to hosts or registries, which take nothing back."""


class DryRuns:
    """An application in which every path stands a second time, below ``/dry-run``."""

    def __init__(self, app: ASGIApp) -> None:
        """Put it before *app*."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on; one that is only to be tried is marked, and taken back at its end."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(f"{DRY_RUN}/"):
            await self._app(scope, receive, send)
            return
        there = PREFIX + path.removeprefix(DRY_RUN)
        opened, answer = ExitStack(), list[Message]()

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            await self._app({**scope, "path": there, "raw_path": there.encode(), _OPEN: opened}, receive, keep)
        finally:
            await run_in_threadpool(opened.close)
            # Only now: who does not read the answer would hold the transaction open, and everybody else up.
            for message in answer:
                await send(message)


def is_tried(scope: Scope) -> bool:
    """Tell whether a request is only to be tried."""
    return _OPEN in scope


def as_tried(db: Database, scope: Scope) -> Database:
    """Return the database that a request which is only to be tried works with; raises Refused for what goes beyond it."""
    opened: ExitStack = scope[_OPEN]
    if scope["method"] == "GET":
        return db  # there is nothing to take back
    if not _INSIDE.fullmatch(scope["path"].removeprefix(PREFIX)):
        raise Refused("cannot try this without doing it: it would reach beyond the database; leave out --dry-run")
    return opened.enter_context(db.taken_back())
