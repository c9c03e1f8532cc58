"""The routes of receivers: where registries say that something was pushed is added and removed here."""

import secrets

from fastapi import APIRouter

from fleet.api.form import Done
from fleet.api.paths import HOOKS
from fleet.api.receivers import AddReceiver, Receiver, ReceiverAdded, Receivers
from fleet.errors import BadInput
from fleet.history.registries import receivers
from fleet.history.registries.receivers import ReceiverRow
from fleet.images.reference import is_registry
from fleet.web.callers import Admin, Reader, hash_of
from fleet.web.centre import ThisCentre

router = APIRouter(prefix="/receivers", tags=["receivers"])

SECRET_PREFIX = "fhook_"  # noqa: S105
"""What every secret begins with, so that scanners of leaked secrets find it."""
SECRET_BYTES = 64
"""So many that the secret is longer than a block of SHA-256: HMAC then takes the key's hash for the key (RFC 2104, 2), and
what is kept is enough to prove a signature."""


@router.get("")
def list_receivers(centre: ThisCentre, _: Reader) -> Receivers:
    """List the receivers, without their secrets."""
    return Receivers(receivers=tuple(_receiver(row) for row in receivers.receivers(centre.db)))


@router.post("", status_code=201)
def add_receiver(centre: ThisCentre, caller: Admin, body: AddReceiver) -> ReceiverAdded:
    """Add a receiver; its secret is in this answer and nowhere else."""
    if body.registry and not is_registry(body.registry):
        raise BadInput(f"cannot use {body.registry[:80]!r} as a registry; expected HOST or HOST:PORT, as hosts name it")
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row = receivers.add_receiver(
        centre.db, name=body.name, sha256=hash_of(secret), registry=body.registry, **caller.by()
    )
    return ReceiverAdded(receiver=_receiver(row), secret=secret)


@router.delete("/{name}")
def remove_receiver(centre: ThisCentre, caller: Admin, name: str) -> Done:
    """Remove a receiver: who speaks to it is refused from now on."""
    receivers.remove_receiver(centre.db, name, **caller.by())
    return Done()


def _receiver(row: ReceiverRow) -> Receiver:
    return Receiver(
        id=row.id,
        name=row.name,
        path=f"{HOOKS}/{row.id}",
        registry=row.registry,
        created_by=row.created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        last_heard=row.last_heard,
    )
