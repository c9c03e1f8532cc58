"""Where the links of messages lead: a page that asks, and does nothing by itself, since scanners of mail and previews of chats open links.

Whoever has a link needs no login: the link is what says who may. What it does is done by the button, once.
"""

import time
from http import HTTPStatus
from math import ceil
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from fleet.api.words import moment
from fleet.errors import NotFound, Refused
from fleet.history.notify import links
from fleet.history.notify.links import LinkRow
from fleet.history.sql.lookup import as_uuid
from fleet.notify.links import PATH, SECRET, LinkAct, LinkState, opens
from fleet.web.centre import Centre, ThisCentre
from fleet.web.pages.shell import TEXT, PageRoute, render
from fleet.web.pages.visitors import read_form

router = APIRouter(prefix=PATH, route_class=PageRoute, include_in_schema=False)

_UNKNOWN = "There is no such link: it is not whole, was taken back with its channel, or is too old to be kept."


@router.get("/{id}")
def ask(
    request: Request,
    centre: ThisCentre,
    id: str,
    secret: Annotated[str, Query(alias=SECRET, max_length=200, pattern=TEXT)] = "",
) -> Response:
    """Ask whether what a link does shall be done, or say why it does nothing any more."""
    found = _opened(request, centre, id, secret)
    if isinstance(found, Response):
        return found
    if found.state is not LinkState.OPEN:
        return _page(request, HTTPStatus.GONE, "This link does nothing any more", why=_why(found), link=found)
    said = found.act.said(found.rollout, found.wave)
    return _page(request, HTTPStatus.OK, f"{_sentence(said)}?", link=found, button=_sentence(said), secret=secret)


@router.post("/{id}")
async def answer(request: Request, centre: ThisCentre, id: str) -> Response:
    """Do what a link does, once."""
    form = await read_form(request)
    return await run_in_threadpool(_answered, request, centre, id, form.get(SECRET, ""))


def _answered(request: Request, centre: Centre, id: str, secret: str) -> Response:
    found = _opened(request, centre, id, secret)
    if isinstance(found, Response):
        return found
    address = request.client.host if request.client else ""
    try:
        found, done = links.use_link(centre.db, found.id, door=f"link {address}".strip())
    except NotFound:
        return _page(request, HTTPStatus.NOT_FOUND, "No such link", why=_UNKNOWN)
    except Refused as error:
        return _page(request, HTTPStatus.CONFLICT, "This cannot be done now", why=_sentence(str(error)), link=found)
    if not done:
        return _page(request, HTTPStatus.GONE, "This link does nothing any more", why=_why(found), link=found)
    return _page(request, HTTPStatus.OK, f"Done: {_done(found)}", link=found)


def _opened(request: Request, centre: Centre, id: str, secret: str) -> LinkRow | Response:
    """Return the link that *secret* opens, or the page for who has none."""
    known = as_uuid(id)
    found = links.link(centre.db, known) if known else None
    if found is None:
        return _page(request, HTTPStatus.NOT_FOUND, "No such link", why=_UNKNOWN)
    if wait := centre.link_pace.wait_s(found.id, time.monotonic()):
        why = f"This link was opened too often. It can be opened again in {ceil(wait)} s."
        answer = _page(request, HTTPStatus.TOO_MANY_REQUESTS, "Too often", why=why)
        answer.headers["Retry-After"] = str(ceil(wait))
        return answer
    if not opens(found.sha256, secret):
        return _page(request, HTTPStatus.NOT_FOUND, "No such link", why=_UNKNOWN)
    request.state.proved = True
    return found


def _page(
    request: Request,
    status: HTTPStatus,
    title: str,
    *,
    why: str = "",
    link: LinkRow | None = None,
    button: str = "",
    secret: str = "",
) -> Response:
    found = render(request, "link.html", status=status, title=title, why=why, link=link, button=button, secret=secret)
    # Its own address, which opens the link, goes nowhere: not to the pages that it leads to either.
    found.headers["Referrer-Policy"] = "no-referrer"
    return found


def _why(found: LinkRow) -> str:
    """Return why a link does nothing any more."""
    wave = f"Wave {found.wave + 1} of rollout #{found.rollout}"
    match found.state:
        case LinkState.USED:
            return f"It was used at {moment(found.used_at)}: {_done(found)}. A link works once."
        case LinkState.EXPIRED:
            return f"It could be used until {moment(found.expires_at)}. {wave} still waits."
    if found.approved_at is not None:
        return f"{wave} was approved at {moment(found.approved_at)}, in another way. The rollout is {found.rollout_state.words}."
    return f"{wave} does not wait for approval any more: the rollout is {found.rollout_state.words}."


def _done(found: LinkRow) -> str:
    match found.act:
        case LinkAct.APPROVE:
            return f"wave {found.wave + 1} of rollout #{found.rollout} is approved"
        case LinkAct.ABORT:
            return f"rollout #{found.rollout} is aborted"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
