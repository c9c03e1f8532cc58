"""The distribution API of the scriptable registry, when nothing goes wrong: pulls, and pushes in one piece."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from fleet.errors import BadInput
from fleet.images.digest import Digest
from fleet.registry.manifest import OCI_INDEX
from fleet.testing.gatekeeper import as_json, refused
from fleet.testing.shelf import Shelf
from fleet.testing.wire import Reply, Request

_PLACE = re.compile(r"/v2/(?P<repository>.+?)/(?P<kind>manifests|blobs|referrers|tags)/(?P<tail>[^/]+|uploads/.*)")


@dataclass(frozen=True, slots=True)
class Place:
    """What a path asks for."""

    kind: str
    """``ping``, ``token``, ``manifests``, ``blobs``, ``uploads``, ``referrers`` or ``tags``; empty for none of them."""
    repository: str = ""
    tail: str = ""


Fetch = Callable[[Place], Awaitable[None]]
"""Puts what a place asks for on the shelf, where it can be had from elsewhere."""


def place_of(path: str) -> Place:
    """Read a request's path."""
    if path in ("/v2", "/v2/"):
        return Place("ping")
    if path == "/token":
        return Place("token")
    match = _PLACE.fullmatch(path)
    if match is None:
        return Place("")
    kind = "uploads" if match["tail"].startswith("uploads") else match["kind"]
    return Place(kind, match["repository"], match["tail"])


def reply_to(request: Request, place: Place, shelf: Shelf, *, stale: bool = False) -> Reply:
    """Return what a sound registry that holds *shelf* says; *stale*: with each tag as it was before its last push."""
    if request.method in ("POST", "PUT"):
        return _push(request, place, shelf)
    if place.kind == "ping":
        return as_json(200, {})
    if place.kind == "manifests":
        return _manifest(place, shelf, stale)
    if place.kind == "blobs":
        return _blob(place, shelf)
    if place.kind == "referrers" and shelf.knows_referrers:
        told = as_json(200, shelf.referrers(place.repository, place.tail))
        return Reply(status=200, headers={"Content-Type": OCI_INDEX}, body=told.body)
    if place.kind == "tags" and place.repository in shelf.repositories:
        return as_json(200, {"name": place.repository, "tags": sorted(shelf.repository(place.repository).tags)})
    return refused(404, "NAME_UNKNOWN")


def _manifest(place: Place, shelf: Shelf, stale: bool) -> Reply:
    found = shelf.manifest(place.repository, place.tail, stale=stale)
    if found is None:
        return refused(404, "MANIFEST_UNKNOWN")
    digest, media_type, raw = found
    return Reply(status=200, headers={"Content-Type": media_type, "Docker-Content-Digest": str(digest)}, body=raw)


def _blob(place: Place, shelf: Shelf) -> Reply:
    blob = shelf.blob(place.repository, place.tail)
    if blob is None:
        return refused(404, "BLOB_UNKNOWN")
    headers = {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": place.tail,
        "Accept-Ranges": "bytes",
    }
    return Reply(status=200, headers=headers, body=blob)


def _push(request: Request, place: Place, shelf: Shelf) -> Reply:
    """Take a blob by POST and one PUT, or a manifest by PUT."""
    if place.kind == "uploads" and request.method == "POST":
        return Reply(status=202, headers={"Location": f"/v2/{place.repository}/blobs/uploads/{uuid4()}"})
    if place.kind == "uploads" and request.query.get("digest") == str(Digest.of(request.body)):
        return _taken(place, shelf.add_blob(place.repository, request.body), "blobs")
    if place.kind == "manifests" and request.method == "PUT":
        tags = () if _is_digest(place.tail) else (place.tail,)
        media_type = request.headers.get("content-type", "")
        return _taken(place, shelf.add_manifest(place.repository, request.body, media_type, *tags), "manifests")
    return refused(400, "DIGEST_INVALID")


def _taken(place: Place, digest: Digest, kind: str) -> Reply:
    headers = {"Location": f"/v2/{place.repository}/{kind}/{digest}", "Docker-Content-Digest": str(digest)}
    return Reply(status=201, headers=headers)


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except BadInput:
        return False
    return True
