"""Where people are told, in a browser: how each channel does, and what came of the newest events that it was to be told."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from fleet.api.notify import TryTemplate
from fleet.errors import BadInput
from fleet.history.tables.words import Scope
from fleet.notify.template import Format
from fleet.web import notify
from fleet.web.callers import Caller, demand
from fleet.web.centre import Centre, ThisCentre
from fleet.web.pages.shell import PageRoute, render
from fleet.web.pages.visitors import Visitor, read_form

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LATEST = 100
"""How many events the page of a channel shows."""


@router.get("/channels")
def list_channels(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show the channels, without their secrets."""
    found = notify.list_channels(centre, visitor).channels
    return render(request, "channels.html", visitor=visitor, channels=found)


@router.get("/channels/{name}")
def show_channel(request: Request, centre: ThisCentre, visitor: Visitor, name: str) -> Response:
    """Show a channel with its newest events."""
    found = notify.show_channel(centre, visitor, name, LATEST)
    return render(request, "channel.html", visitor=visitor, channel=found.channel, deliveries=found.deliveries)


LARGEST_TEMPLATE_FORM = 100_000
"""Bytes of the form with templates, of which each sign may be written as several."""


@router.get("/channels/{name}/preview")
def show_preview(request: Request, centre: ThisCentre, visitor: Visitor, name: str) -> Response:
    """Show an example of each event that a channel gets, and a form to try other words."""
    channel = notify.show_channel(centre, visitor, name, 1).channel
    found = notify.preview_channel(centre, visitor, name)
    return render(request, "preview.html", visitor=visitor, channel=channel, found=found, tried=None, wrong="")


@router.post("/channels/{name}/preview")
async def try_template(request: Request, centre: ThisCentre, visitor: Visitor, name: str) -> Response:
    """Show the examples with the words of the form; nothing is changed."""
    form = await read_form(request, LARGEST_TEMPLATE_FORM)
    return await run_in_threadpool(_tried, request, centre, visitor, name, form)


def _tried(request: Request, centre: Centre, visitor: Caller, name: str, form: Mapping[str, str]) -> Response:
    channel = notify.show_channel(centre, visitor, name, 1).channel
    wrong, found = "", None
    given = {part: form.get(part, "").replace("\r\n", "\n") for part in ("title_template", "body_template")}
    try:
        asked = TryTemplate(**given, format=form.get("format", Format.TEXT))
        found = notify.try_template(centre, demand(visitor, Scope.WRITE), name, asked)
    except ValidationError as error:
        wrong = f"cannot use these words: {error.errors()[0]['msg']}"
    except BadInput as error:
        wrong = str(error)
    tried = {**given, "format": form.get("format", "")}
    return render(
        request,
        "preview.html",
        status=422 if wrong else 200,
        visitor=visitor,
        channel=channel,
        found=found,
        tried=tried,
        wrong=wrong,
    )
