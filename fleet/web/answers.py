"""Every error as problem details: what is expected in full, what is not without a word about its inside."""

import logging
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fleet.api.problems import MEDIA_TYPE, Problem, make_problem, problem_of
from fleet.errors import AuthNeeded, FleetError, Refused
from fleet.history.noted import audit
from fleet.web.callers import Caller, Forbidden
from fleet.web.dry_run import is_tried
from fleet.web.pages.shell import told, wants_page

log = logging.getLogger(__name__)

PROBLEMS: dict[int | str, dict[str, Any]] = {"default": {"model": Problem, "description": "A problem (RFC 9457)"}}
"""What OpenAPI says of every route's failures."""


def install(app: FastAPI) -> None:
    """Let *app* answer with problems."""
    app.add_exception_handler(FleetError, _expected)
    app.add_exception_handler(RequestValidationError, _unusable)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _unexpected)


def describe(app: FastAPI) -> None:
    """Let the OpenAPI document say that problems come as what they are, which FastAPI cannot be told."""
    for path in app.openapi()["paths"].values():
        for operation in path.values():
            content = operation["responses"]["default"]["content"]
            content[MEDIA_TYPE] = content.pop("application/json")


def _expected(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FleetError)
    if isinstance(error, Refused | Forbidden) and request.method not in ("GET", "HEAD"):
        _note_refused(request, error)
    problem = problem_of(error)
    if isinstance(error, Forbidden):
        problem = problem.model_copy(update={"status": 403})
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, AuthNeeded) and problem.status == 401 else {}
    return _answer(problem, headers)


def _note_refused(request: Request, error: FleetError) -> None:
    """Write down what somebody wanted to do and was refused; who proved nothing is not written down."""
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller) or is_tried(request.scope):
        return
    subject = f"{request.method} {request.url.path[:200]}"
    if not request.app.state.centre.refusals.are_told(caller.who, time.monotonic()):
        log.warning("refusal not written down: too many", extra={"who": caller.who, "what": subject})
        return
    why = {"why": str(error)[:500]}
    try:
        audit.record(request.app.state.centre.db, **caller.by(), action="refused", subject=subject, details=why)
    except FleetError as unwritten:
        log.error("refusal not written down", extra={"who": caller.who, "what": subject, "error": str(unwritten)})


def _unusable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        place, why = "the request", "it is not JSON"
    elif first["type"] == "extra_forbidden":
        why = "this server does not know it; where the command is newer than the server, update the server first"
    # What was given is not repeated: it may be a secret in the wrong place.
    return _answer(make_problem("bad-input", 422, f"cannot use {place or 'the request'}: {why}"))


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and wants_page(request):
        return told(request, make_problem("not-found", 404, f"cannot find the page {request.url.path[:200]}"))
    if error.status_code == 404:
        return _answer(make_problem("not-found", 404, f"cannot find {request.url.path[:200]}; see the API's document"))
    detail = f"cannot do that: {error.detail}"
    return _answer(make_problem("bad-input", error.status_code, detail), dict(error.headers or {}))


def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, and the server logs it with its trace.
    log.error("request failed", extra={"path": request.url.path, "error": type(error).__name__})
    problem = make_problem("failed", 500, "cannot answer: something went wrong here; see the log of the web process")
    return told(request, problem) if wants_page(request) else _answer(problem)


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(mode="json"), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
    )
