"""What refers to an image is the origin's word alone; what it lists is fetched by the route and proved, as all else."""

import json

import pytest

from fleet.images.digest import Digest
from fleet.registry.manifest import OCI_INDEX, OCI_MANIFEST
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.docking import Dock
from tests.gateway.harbour import HANG_S, Harbour, served

SIGNATURE = b"a signature"


def sign(registry: ScriptedRegistry, subject: Digest, *tags: str) -> Digest:
    """Add a document that refers to *subject*, and return its digest."""
    blob = registry.shelf.add_blob("org/app", SIGNATURE)
    empty = registry.shelf.add_blob("org/app", b"{}")
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": str(empty)},
        "layers": [{"mediaType": "application/vnd.lab", "size": len(SIGNATURE), "digest": str(blob)}],
        "subject": {"mediaType": OCI_MANIFEST, "size": 1, "digest": str(subject)},
    }
    return registry.shelf.add_manifest("org/app", json.dumps(document).encode(), OCI_MANIFEST, *tags)


@pytest.fixture
def signed(harbour: Harbour) -> Digest:
    """Let all have a signature of the image, and only the origin tell of it."""
    digests = {sign(registry, harbour.digest) for registry in (harbour.origin, *harbour.mirrors)}
    harbour.origin.shelf.knows_referrers = True
    (digest,) = digests
    return digest


def listed(dock: Dock, path: str) -> list[str]:
    """Return the digests of an index."""
    status, headers, body = dock.ask("GET", path)
    assert (status, headers["content-type"]) == (200, OCI_INDEX)
    return [entry["digest"] for entry in json.loads(body)["manifests"]]


def test_the_origin_tells_and_the_mirror_gives(harbour: Harbour, signed: Digest) -> None:
    session, dock = harbour.open()
    path = f"/v2/{session.name}/manifests/{signed}"
    assert dock.ask("GET", path)[0] == 404
    dock.pull(session.name, str(harbour.digest))
    assert listed(dock, f"/v2/{session.name}/referrers/{harbour.digest}") == [str(signed)]
    dock.manifest(session.name, str(signed))
    blob = Digest.of(SIGNATURE)
    assert dock.get(f"/v2/{session.name}/blobs/{blob}", str(blob)) == SIGNATURE
    harbour.gateway.end(session)
    assert {entry.kind for entry in harbour.origin.log} <= {"referrers", ""}
    first, _, origin = session.attempts()
    assert (first.bytes, origin.result) == (served(harbour.mirrors[0]), "unused")


def test_a_mirror_is_not_asked_what_refers_to_an_image(harbour: Harbour, signed: Digest) -> None:
    for mirror in harbour.mirrors:
        mirror.shelf.knows_referrers = True
    harbour.origin.shelf.knows_referrers = False
    session, dock = harbour.open()
    assert dock.ask("GET", f"/v2/{session.name}/referrers/{harbour.digest}")[0] == 404
    assert not any(entry.kind == "referrers" for mirror in harbour.mirrors for entry in mirror.log)


def test_a_registry_that_knows_no_referrers_has_them_under_a_tag(harbour: Harbour) -> None:
    signature = sign(harbour.origin, harbour.digest)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "size": 1000, "digest": str(signature)}],
    }
    tag = str(harbour.digest).replace(":", "-")
    made = harbour.origin.shelf.add_manifest("org/app", json.dumps(index).encode(), OCI_INDEX, tag)
    session, dock = harbour.open()
    path = f"/v2/{session.name}/manifests/{tag}"
    assert listed(dock, path) == [str(signature)]
    status, headers, body = dock.ask("HEAD", path)
    assert (status, headers["docker-content-digest"], body) == (200, str(made), b"")
    other = str(Digest.of(b"other")).replace(":", "-")
    assert dock.ask("GET", f"/v2/{session.name}/manifests/{other}")[0] == 404


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 401}),
        ("cut", {"at": 5}),
        ("wrong_bytes", {}),
        ("endless", {}),
        ("close", {}),
    ],
)
def test_an_origin_that_fails_is_one_that_does_not_tell(
    harbour: Harbour, signed: Digest, fault: str, rule: dict[str, int]
) -> None:
    """The engine is answered 404, which alone lets it go on, and the pull ends well."""
    harbour.origin.faults.add(Fault(fault), kind="referrers", **rule)
    session, dock = harbour.open()
    assert dock.ask("GET", f"/v2/{session.name}/referrers/{harbour.digest}")[0] == 404
    dock.pull(session.name, str(harbour.digest))
    assert session.failure == ""


def test_an_origin_that_hangs_is_waited_for_once(
    harbour: Harbour, signed: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.gateway.referring.LONGEST_S", HANG_S)
    harbour.origin.faults.add(Fault.HANG, kind="referrers")
    session, dock = harbour.open()
    for _ in range(2):
        assert dock.ask("GET", f"/v2/{session.name}/referrers/{harbour.digest}")[0] == 404
    assert len([entry for entry in harbour.origin.log if entry.kind == "referrers"]) == 1
    dock.pull(session.name, str(harbour.digest))


def test_an_origin_that_is_down_is_not_asked_again_for_a_while(harbour: Harbour, signed: Digest) -> None:
    session, dock = harbour.open()
    with harbour.origin.down():
        assert dock.ask("GET", f"/v2/{session.name}/referrers/{harbour.digest}")[0] == 404
    assert dock.ask("GET", f"/v2/{session.name}/referrers/{harbour.digest}")[0] == 404
    assert harbour.origin.log == []
