"""Where registries say that something was pushed, in a browser: each receiver with what it heard last."""

from fastapi import APIRouter, Request, Response

from fleet.web import receivers
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import PageRoute, render
from fleet.web.pages.visitors import Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/receivers")
def list_receivers(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show the receivers, without their secrets."""
    found = receivers.list_receivers(centre, visitor).receivers
    return render(request, "receivers.html", visitor=visitor, receivers=found)
