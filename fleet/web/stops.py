"""The routes of stops: freezes, holds, snoozes and skips."""

from datetime import timedelta

from fastapi import APIRouter

from fleet.api.stops import CreateStop, Stop, StopAnswer, Stops
from fleet.controller.plans import check_hosts
from fleet.errors import BadInput
from fleet.history.registries import tags
from fleet.history.rules import stops
from fleet.history.rules.stops import StopRow
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.rollouts.selector import Selector
from fleet.rollouts.stops import StopKind
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre
from fleet.web.selecting import selector_of

router = APIRouter(prefix="/stops", tags=["stops"])


@router.get("")
def list_stops(centre: ThisCentre, _: Reader) -> Stops:
    """List the stops that hold."""
    return Stops(stops=tuple(_stop(row) for row in stops.stops(centre.db)))


@router.post("", status_code=201)
def create_stop(centre: ThisCentre, caller: Writer, body: CreateStop) -> StopAnswer:
    """Let something not be updated for now; what touched no container yet is called off."""
    selector = selector_of(body.selector)
    check_hosts(centre.db, selector)
    digest = str(Digest.parse(body.digest)) if body.digest else ""
    if body.kind is StopKind.SKIP and not digest:
        digest = _seen_digest(centre, selector)
    if body.for_ms is not None and body.ends_at is not None:
        raise BadInput("cannot take both an end and a duration; give one of them")
    ends_at = centre.db.now() + timedelta(milliseconds=body.for_ms) if body.for_ms is not None else body.ends_at
    row = stops.create_stop(
        centre.db, body.kind, selector, digest=digest, reason=body.reason, ends_at=ends_at, **caller.by()
    )
    return StopAnswer(stop=_stop(row))


@router.delete("/{id}")
def lift_stop(centre: ThisCentre, caller: Writer, id: str) -> StopAnswer:
    """Lift a stop, by its id or the last 8 digits of it."""
    return StopAnswer(stop=_stop(stops.lift_stop(centre.db, id, **caller.by())))


def _seen_digest(centre: Centre, selector: Selector) -> str:
    """Return the digest that the one image's tag was last seen to have."""
    if len(selector.images) != 1:
        raise BadInput("cannot skip without one image; name it as nginx:1.27 or nginx:1.27@sha256:...")
    reference = Reference.parse(selector.images[0])
    found = tags.tag(centre.db, f"{reference.name}:{reference.tag_or_latest}")
    if found is None or not found.digest:
        raise BadInput(f"cannot tell which digest {reference.familiar} has: it was not checked yet; name the digest")
    return found.digest


def _stop(row: StopRow) -> Stop:
    return Stop(
        id=row.id,
        kind=row.kind,
        selector=row.selector.document(),
        digest=row.digest,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
        ends_at=row.ends_at,
        lifted_by=row.lifted_by,
        lifted_at=row.lifted_at,
    )
