"""How a page is rendered and sent: templates, the headers that keep a browser safe, and errors as pages.

Pages are read only and need no script. Names and reasons come from hosts and registries: everything is escaped, and the
browser is told to run nothing.
"""

from collections.abc import Callable, Coroutine
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from fleet.api import words
from fleet.api.paths import PREFIX
from fleet.api.problems import Problem, problem_of
from fleet.errors import AuthNeeded, BadInput, FleetError
from fleet.web.callers import Forbidden

_HERE = Path(__file__).parent.parent
STYLE = _HERE / "static" / "fleet.css"
LOGIN = "/login"
TEXT = r"^[^\x00]*$"
"""What a query parameter may be: PostgreSQL looks for nothing with a NUL in it."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_ROOMS = (
    ("/", "Overview"),
    ("/hosts", "Hosts"),
    ("/outdated", "Outdated"),
    ("/rollouts", "Rollouts"),
    ("/history", "History"),
    ("/mirrors", "Mirrors"),
    ("/schedules", "Schedules"),
    ("/channels", "Notifications"),
    ("/receivers", "Receivers"),
)


def render(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
    """Return a page made of *template* and *facts*."""
    here = next((path for path, _ in _ROOMS[1:] if request.url.path.startswith(path)), "/")
    shell = {"rooms": _ROOMS, "here": here, "version": version("fleet-updater"), "style": _style()}
    text = _templates().get_template(template).render(**shell, **facts)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


class PageRoute(APIRoute):
    """A route whose errors are pages: whoever is not known is sent to the login."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except FleetError as error:
                if isinstance(error, AuthNeeded) and not isinstance(error, Forbidden):
                    return to_login(request)
                return wrong(request, error)
            except RequestValidationError as error:
                first = error.errors()[0]
                named = ".".join(str(part) for part in first["loc"] if part not in ("query", "path"))
                return wrong(request, BadInput(f"cannot use {named}: {first['msg']}"))

        return handle


def to_login(request: Request) -> RedirectResponse:
    """Send to the login, and afterwards back to where this request wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': wanted})}", status_code=303, headers=HEADERS)


def wrong(request: Request, error: FleetError) -> HTMLResponse:
    """Return the page that says what cannot be done."""
    return told(request, problem_of(error))


def wants_page(request: Request) -> bool:
    """Tell whether a browser asks, and not for what the API answers."""
    return not request.url.path.startswith(PREFIX) and "text/html" in request.headers.get("accept", "")


def told(request: Request, problem: Problem) -> HTMLResponse:
    """Return *problem* as a page."""
    return render(request, "wrong.html", status=problem.status, title=problem.title, detail=problem.detail)


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "ago",
        "chosen",
        "familiar",
        "moment",
        "numbered",
        "pairs",
        "seconds",
        "short_digest",
        "short_id",
        "size",
    ):
        found.filters[name] = getattr(words, name)
    found.filters["path"] = lambda text: quote(str(text), safe="")
    for name in ("came_to", "change"):
        found.globals[name] = getattr(words, name)
    return found


@cache
def _style() -> str:
    """Return where the style sheet is, by its content: browsers may keep it for good."""
    return f"/static/fleet.css?{sha256(STYLE.read_bytes()).hexdigest()[:12]}"
