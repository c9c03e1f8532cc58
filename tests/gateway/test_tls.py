"""Each endpoint's TLS is its own matter: checked unless the rule, or the host's list, says otherwise."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.testing.certificates import TestAuthority
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.harbour import LAYERS, Harbour

AUTHORITY = TestAuthority()


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[ScriptedRegistry]:
    """Be a mirror whose authority no system knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue(["127.0.0.1"], tmp_path))
    with ScriptedRegistry(tls=context) as registry:
        registry.shelf.add_image("org/app", "1", layers=LAYERS)
        yield registry


def results(harbour: Harbour, table: MirrorTable) -> list[str]:
    """Pull by *table*, and return how each source did."""
    session = harbour.gateway.open(harbour.reference, harbour.digest, table)
    dock = harbour.dock(session)
    dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    return [str(attempt.result) for attempt in session.attempts()]


@pytest.mark.parametrize(
    ("more", "expected"),
    [({}, ["unreachable", "served"]), ({"insecure": True}, ["served", "unused"])],
    ids=["unknown authority", "insecure by rule"],
)
def test_a_mirror_over_tls(
    secure: ScriptedRegistry, harbour: Harbour, more: dict[str, object], expected: list[str]
) -> None:
    rules = parse_mirrors([{"url": secure.url, **more}])
    assert results(harbour, MirrorTable.of(rules)) == expected


def test_a_mirror_whose_certificate_has_run_out(harbour: Harbour, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue(["127.0.0.1"], tmp_path, expired=True))
    with ScriptedRegistry(tls=context) as late:
        late.shelf.add_image("org/app", "1", layers=LAYERS)
        rules = parse_mirrors([{"url": late.url, "ca": str(AUTHORITY.write(tmp_path / "ca.pem"))}])
        assert results(harbour, MirrorTable.of(rules)) == ["unreachable", "served"]
        assert late.log == []


def test_a_mirror_with_its_own_authority(secure: ScriptedRegistry, harbour: Harbour, tmp_path: Path) -> None:
    ca = AUTHORITY.write(tmp_path / "ca.pem")
    rules = parse_mirrors([{"url": secure.url, "ca": str(ca)}])
    assert results(harbour, MirrorTable.of(rules)) == ["served", "unused"]


def test_an_unreadable_authority_fails_that_mirror_alone(secure: ScriptedRegistry, harbour: Harbour) -> None:
    rules = parse_mirrors([{"url": secure.url, "ca": "/nowhere.pem"}])
    assert results(harbour, MirrorTable.of(rules)) == ["protocol", "served"]
