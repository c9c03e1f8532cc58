"""The route of events: a stream of Server-Sent Events, each a CloudEvent as channels get it."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fleet.api.form import Instant
from fleet.controller.condition_catalogue import CATALOGUE
from fleet.errors import BadInput, Refused
from fleet.history.tables import words
from fleet.notify import rule
from fleet.notify.rule import Rule
from fleet.notify.severity import Severity
from fleet.web.callers import BEARER, Caller, caller_of, demand, hash_of
from fleet.web.centre import ThisCentre
from fleet.web.doors import Door
from fleet.web.dry_run import is_tried
from fleet.web.feed import KEEP_ALIVE_S, Feed, Follower, Start
from fleet.web.pages.visitors import COOKIE
from fleet.web.selecting import Selected

router = APIRouter(prefix="/events", tags=["notifications"])

_HEADERS = {"X-Accel-Buffering": "no"}
"""What lets a proxy (nginx) hand on each event as it comes."""
_STREAM = {"type": "string", "description": "Server-Sent Events; the data of each is a CloudEvent 1.0 in JSON."}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A stream of events.", "content": {"text/event-stream": {"schema": _STREAM}}}
}


def _identify(
    request: Request, centre: ThisCentre, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
) -> tuple[Caller, str]:
    """Return who asks, and the hash of his token; a page's cookie is enough, since an EventSource sends no header."""
    if is_tried(request.scope):
        raise Refused("cannot follow events in a dry run: there is nothing to take back; leave out --dry-run")
    token = bearer.credentials if bearer else request.cookies.get(COOKIE)
    caller = demand(caller_of(request, centre, token), words.Scope.READ)
    return caller, hash_of(token) if token and caller.door is Door.PORT else ""


@router.get("", response_class=StreamingResponse, responses=_ANSWER)
async def follow_events(
    centre: ThisCentre,
    known: Annotated[tuple[Caller, str], Depends(_identify)],
    selector: Selected,
    event: Annotated[tuple[str, ...], Query(max_length=100)] = ("*",),
    severity: Severity = Severity.INFO,
    rollout: Annotated[int, Query(ge=0)] = 0,
    since: Instant | None = None,
    follow: bool = True,
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """Follow what happens, from now on, from *since*, or behind the event whose id the header ``Last-Event-ID`` names.

    The `data` of each message is a CloudEvent. Where events behind that id are not kept any more, the first message says so: its
    `event` is `lost`. With `follow=false` the stream ends with the last event that there is.
    """
    wanted = Rule(events=event, severity=severity, selector=selector)
    rule.check(wanted, [kind.code for kind in CATALOGUE])
    caller, token = known
    follower = Follower(who=caller.who, rule=wanted, rollout=rollout, token=token)
    start = Start(after=_number(last_event_id), since=since)
    if why := centre.feed.enter(follower):
        raise HTTPException(429, why, headers={"Retry-After": str(round(KEEP_ALIVE_S))})
    return EventStream(centre.feed, follower, start, follow=follow)


class EventStream(StreamingResponse):
    """What one follower, who entered, gets; he leaves with its end, however it comes."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, follower: Follower, start: Start, *, follow: bool) -> None:
        """Prepare to follow."""
        super().__init__(feed.stream(follower, start, follow=follow), headers=_HEADERS)
        self._leave = partial(feed.leave, follower)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes until one side ends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadInput(f"cannot use {text[:40]!r} as Last-Event-ID; send the id of an event of this stream")
    return int(text)
