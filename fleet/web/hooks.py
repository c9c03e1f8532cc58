"""Where registries say that something was pushed: it is checked soon, as it is always checked, and nothing else comes of it.

What they say is a hint. The centre asks the registry itself; whether anything is updated is up to schedules and policies.
"""

import json
import logging
import math
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from fleet.api.paths import HOOKS
from fleet.api.receivers import PushHeard
from fleet.controller.heard import HeardOutcome
from fleet.errors import AuthNeeded, BadInput
from fleet.history.registries import pushes, receivers
from fleet.history.registries.receivers import ReceiverLock
from fleet.images.pushed import Heard, Pushed, heard
from fleet.web.bodies import read_body
from fleet.web.centre import Centre, ThisCentre
from fleet.web.proof import SECRET, is_proved

log = logging.getLogger(__name__)

router = APIRouter(prefix=HOOKS, include_in_schema=False)

LARGEST_BODY = 256 * 1024
"""Bytes of a body: a registry that gathers a hundred notifications sends less."""
_SHOWN = 3
"""How many images are named where people read what was heard last."""


@router.post("/{id}", status_code=202)
async def hear(request: Request, centre: ThisCentre, id: UUID) -> PushHeard:
    """Take what a registry says of a push; whoever does not prove the secret learns nothing."""
    body = await read_body(request, LARGEST_BODY)
    if body is None:
        centre.heard.add(HeardOutcome.UNREAD)
        raise HTTPException(413, f"a body of more than {LARGEST_BODY} bytes is not read")
    return await run_in_threadpool(_hear, request, centre, id, body)


def _hear(request: Request, centre: Centre, id: UUID, body: bytes) -> PushHeard:
    lock = receivers.receiver_lock(centre.db, id)
    if lock is None or not is_proved(lock.sha256, request.headers, request.query_params.get(SECRET, ""), body):
        centre.heard.add(HeardOutcome.REFUSED)
        raise AuthNeeded("cannot take this: there is no such receiver, or the secret is wrong; see: fleet receiver ls")
    request.state.proved = True
    if wait := centre.pace.wait_s(lock.id, time.monotonic()):
        centre.heard.add(HeardOutcome.LIMITED)
        seconds = math.ceil(wait)
        raise HTTPException(429, f"too many requests; again in {seconds} s", headers={"Retry-After": str(seconds)})
    said = _said(centre, body)
    if said is None:
        centre.heard.add(HeardOutcome.UNREAD)
        receivers.note_use(centre.db, lock, "a body of no known form")
        return PushHeard(images=0)
    images = _of_registry(said, lock)
    address = request.client.host if request.client else ""
    found = pushes.hear(centre.db, lock, _in_words(said, images), images, door=f"hook {address}".strip())
    centre.heard.add(HeardOutcome.ASKED if found else HeardOutcome.NOTHING, said.sender)
    log.info("push heard", extra={"receiver": lock.name, "sender": said.sender.value, "images": found})
    return PushHeard(images=len(found))


def _said(centre: Centre, body: bytes) -> Heard | None:
    """Return what a body says; raise BadInput."""
    try:
        return heard(_document(body))
    except BadInput:
        centre.heard.add(HeardOutcome.UNREAD)
        raise


def _document(body: bytes) -> Any:
    """Return what a body holds: JSON alone, or in the field of a form, as GitHub sends it by default; raise BadInput.

    What the header says of it is not asked: curl calls everything a form.
    """
    try:
        if body.startswith(b"payload="):
            body = parse_qs(body.decode())["payload"][0].encode()
        return json.loads(body)
    except (ValueError, KeyError, RecursionError):
        raise BadInput("cannot read the body: expected JSON, or a form whose field payload is JSON") from None


def _of_registry(said: Heard, lock: ReceiverLock) -> list[Pushed]:
    """Return what was pushed by the name under which hosts know the registry, where the receiver has one."""
    return [replace(each, registry=lock.registry) if lock.registry else each for each in said.images]


def _in_words(said: Heard, images: list[Pushed]) -> str:
    names = [f"{each.registry}/{each.repository}:{each.tag or '*'}".lstrip("/") for each in images]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{said.sender.value}: {', '.join(names[:_SHOWN]) or 'no image'}{more}"
