"""Where people are told, in a browser: how each channel does, and what came of the newest events that it was to be told."""

from fastapi import APIRouter, Request, Response

from fleet.web import notify
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import PageRoute, render
from fleet.web.pages.visitors import Visitor

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
