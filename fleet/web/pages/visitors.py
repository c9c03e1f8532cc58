"""Who looks at pages: the same callers as the API's, with the token in a cookie that no script can read.

The cookie holds the token itself, so that revoking the token ends every browser's visit at once. It is sent over TLS
alone, never to another site, and only pages take it, with the stream of events, which reads: the API wants its header, so that
no foreign page can act by it.
"""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import RedirectResponse

from fleet.errors import AuthNeeded, BadInput
from fleet.web.bodies import read_body
from fleet.web.callers import Caller, caller_of
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import HEADERS, LOGIN, PageRoute, render

router = APIRouter(route_class=PageRoute, include_in_schema=False)

COOKIE = "__Host-fleet"
"""The prefix lets browsers take it only over TLS, for this host alone."""
LARGEST_FORM = 4096
"""Bytes of the login's form: a token and a path fit."""


def _identify(request: Request, centre: ThisCentre) -> Caller:
    return caller_of(request, centre, request.cookies.get(COOKIE))


Visitor = Annotated[Caller, Depends(_identify)]
"""May look at every page: every token may read."""


@router.get(LOGIN)
def ask(request: Request, next: str = "/") -> Response:
    """Ask for a token."""
    return render(request, "login.html", next=_local(next), reason="")


@router.post(LOGIN)
async def enter(request: Request, centre: ThisCentre) -> Response:
    """Take a token, and go where the visitor wanted to."""
    form = await read_form(request)
    token, target = form.get("token", "").strip(), _local(form.get("next", "/"))
    try:
        caller_of(request, centre, token)
    except AuthNeeded as error:
        return render(request, "login.html", status=401, next=target, reason=str(error))
    answer = RedirectResponse(target, status_code=303, headers=HEADERS)
    answer.set_cookie(COOKIE, token, secure=True, httponly=True, samesite="lax", path="/")
    return answer


@router.post("/logout")
async def leave(request: Request) -> Response:
    """Forget the token."""
    await read_form(request)
    answer = RedirectResponse(LOGIN, status_code=303, headers=HEADERS)
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    return answer


async def read_form(request: Request, largest: int = LARGEST_FORM) -> dict[str, str]:
    """Return the fields of a form of ours; raise BadInput where another site sent it, or it is too large."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise BadInput("cannot take a form that another site sent; open the page itself")
    body = await read_body(request, largest)
    if body is None:
        raise BadInput(f"cannot take a form of more than {largest} bytes")
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _local(target: str) -> str:
    """Return *target* where it is a path of this server, else the first page: a login leads nowhere else."""
    plain = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if plain else "/"
