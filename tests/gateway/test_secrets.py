"""A hostile mirror sees no credential that is not its own, and gets no byte into an engine."""

from fleet.images.digest import Digest
from fleet.registry.credentials import Credentials
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access, Gatekeeper
from tests.gateway.harbour import LAYERS, Harbour

SECRETS = ("s3cret", "bWU6czNjcmV0")
"""The password, and user and password as Basic has them."""


def test_a_mirror_that_asks_for_a_password_does_not_get_the_origins(harbour: Harbour) -> None:
    hostile, _ = harbour.mirrors
    hostile.gatekeeper = Gatekeeper(Access(scheme="basic", username="x", password="y"))
    harbour.origin.gatekeeper = Gatekeeper(Access(scheme="basic", username="me", password="s3cret"))
    harbour.logins.by_host[harbour.origin.host] = Credentials(username="me", password="s3cret")
    harbour.mirrors[1].faults.add(Fault.STATUS, status=404)
    _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["unauthorized", "not_found", "served"]
    seen = [value for entry in hostile.log for value in entry.headers.values()]
    assert not any(secret in value for secret in SECRETS for value in seen)
    assert not any("authorization" in entry.headers for entry in hostile.log)


def test_a_mirror_with_its_own_login_gets_that_one(harbour: Harbour) -> None:
    mirror, _ = harbour.mirrors
    mirror.gatekeeper = Gatekeeper(Access(scheme="bearer", username="m", password="own"))
    harbour.logins.by_host[mirror.host] = Credentials(username="m", password="own")
    _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["served", "unused", "unused"]


def test_a_redirect_to_another_server_takes_no_proof_along(harbour: Harbour) -> None:
    mirror, store = harbour.mirrors
    mirror.gatekeeper = Gatekeeper(Access(scheme="basic", username="me", password="s3cret"))
    harbour.logins.by_host[mirror.host] = Credentials(username="me", password="s3cret")
    mirror.faults.add(Fault.REDIRECT, kind="blobs", location=store.url)
    harbour.pull()
    assert store.log
    assert not any("authorization" in entry.headers for entry in store.log)


def test_a_token_from_a_foreign_host_is_asked_for_without_the_mirrors_password(harbour: Harbour) -> None:
    """And what that host gives opens nothing, so that the next source serves."""
    mirror, foreign = harbour.mirrors
    realm = f"http://localhost:{foreign.port}/token"
    mirror.gatekeeper = Gatekeeper(Access(scheme="bearer", username="me", password="s3cret", realm=realm))
    harbour.logins.by_host[mirror.host] = Credentials(username="me", password="s3cret")
    _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["unauthorized", "served", "unused"]
    asked = [entry for entry in foreign.log if entry.kind == "token"]
    assert asked
    told = [value for entry in (*asked, *mirror.log) for value in (*entry.headers.values(), *entry.query.values())]
    assert not any(secret in value for secret in SECRETS for value in told)


def test_the_engines_secret_never_leaves_the_machine(harbour: Harbour) -> None:
    session, dock = harbour.open()
    dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    told = [v for r in (*harbour.mirrors, harbour.origin) for e in r.log for v in (*e.headers.values(), e.path)]
    assert not any(session.secret in value for value in told)
    assert session.secret not in repr(session)


def test_one_pulls_secret_opens_no_other_pull(harbour: Harbour) -> None:
    """Nor does it open what its own pull does not name."""
    first, dock = harbour.open()
    second, _ = harbour.open()
    blob = Digest.of(LAYERS[0])
    assert dock.ask("GET", f"/v2/{second.name}/blobs/{blob}")[0] == 404
    dock.pull(first.name, str(harbour.digest))
    assert dock.ask("GET", f"/v2/{first.name}/blobs/{blob}")[0] == 200
    assert dock.ask("GET", f"/v2/{first.name}/blobs/{Digest.of(b'other')}")[0] == 404
    assert dock.ask("GET", f"/v2/other/app/blobs/{blob}")[0] == 404
    harbour.gateway.end(first)
    assert dock.ask("GET", "/v2/")[0] == 401
