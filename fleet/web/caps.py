"""The routes of caps: how many hosts of one site or rack may be away at once."""

from fastapi import APIRouter

from fleet.api.caps import Cap, CappedValue, Caps, SetCap
from fleet.history.rollouts import caps
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/caps", tags=["caps"])


@router.get("")
def list_caps(centre: ThisCentre, _: Reader) -> Caps:
    """List the caps, and how many hosts of each value are away now."""
    return _all(centre)


@router.put("/{name}")
def set_cap(centre: ThisCentre, caller: Writer, name: str, body: SetCap) -> Caps:
    """Write the cap of a label; it holds from the next dispatch on, for the rollouts that run too."""
    caps.set_cap(centre.db, name, body.most, **caller.by())
    return _all(centre)


@router.delete("/{name}")
def drop_cap(centre: ThisCentre, caller: Writer, name: str) -> Caps:
    """Take the cap of a label away."""
    caps.drop_cap(centre.db, name, **caller.by())
    return _all(centre)


def _all(centre: Centre) -> Caps:
    return Caps(
        caps=tuple(Cap.model_validate(row) for row in caps.caps(centre.db)),
        values=tuple(CappedValue.model_validate(row) for row in caps.standing(centre.db)),
    )
