"""The route of metrics: what Prometheus reads, and who may."""

from ipaddress import ip_network
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client.exposition import gzip_accepted

from fleet.history.tables.words import Scope
from fleet.registry.realm import address_of
from fleet.web.callers import BEARER, caller_of, demand
from fleet.web.centre import Centre, ThisCentre
from fleet.web.doors import Door, door_of
from fleet.web.exposition import TextFormat

router = APIRouter()

PATH = "/metrics"


def may_read(
    request: Request, centre: ThisCentre, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
) -> None:
    """Let in who comes by the socket, with a token of scope read, or from a network that may read metrics without one."""
    if door_of(request.scope) is Door.PORT and _is_near(request, centre):
        return
    demand(caller_of(request, centre, bearer.credentials if bearer else None), Scope.READ)


def _is_near(request: Request, centre: Centre) -> bool:
    networks = [ip_network(each, strict=False) for each in centre.settings.metrics.networks]
    # At a port of both families IPv4 comes as a part of IPv6.
    address = address_of(request.client.host) if networks and request.client else None
    return address is not None and any(address in network for network in networks)


@router.get(PATH, include_in_schema=False, dependencies=[Depends(may_read)])
def metrics(request: Request, centre: ThisCentre) -> Response:
    """Return every metric as text, in the better format that is asked for."""
    text_format = TextFormat.accepted(request.headers.get("accept", ""))
    gzipped = gzip_accepted(request.headers.get("accept-encoding", ""))
    headers = {"Content-Type": text_format.value, "Vary": "Accept, Accept-Encoding"}
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    return Response(centre.written.as_bytes(text_format, gzipped=gzipped), headers=headers)
