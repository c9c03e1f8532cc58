"""A source that breaks off in the middle costs what is missing, never what came."""

import ssl
from pathlib import Path

from fleet.images.digest import Digest
from fleet.registry.credentials import Credentials
from fleet.testing.certificates import TestAuthority
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access, Gatekeeper
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.harbour import LAYERS, Harbour, served

BIG = str(Digest.of(LAYERS[0]))


def ranges(registry: ScriptedRegistry, tail: str = BIG) -> list[str]:
    """Return the Range headers by which *tail* was asked for."""
    return [entry.headers.get("range", "") for entry in registry.log if entry.tail == tail]


def test_the_next_source_goes_on_at_the_byte_where_the_first_broke_off(harbour: Harbour) -> None:
    one, two = harbour.mirrors
    one.faults.add(Fault.CUT, tail=BIG, at=123_456)
    _, attempts = harbour.pull()
    assert ranges(two) == ["bytes=123456-"]
    assert attempts[1].resumed_at == (123_456,)
    assert (attempts[0].bytes, attempts[1].bytes) == (served(one), 300_000 - 123_456)


def test_what_came_is_skipped_at_a_source_that_ignores_ranges(harbour: Harbour) -> None:
    one, two = harbour.mirrors
    one.faults.add(Fault.CUT, tail=BIG, at=123_456)
    two.faults.add(Fault.NO_RANGE)
    _, attempts = harbour.pull()
    assert attempts[1].bytes == 300_000 - 123_456
    assert served(two) == 300_000


def test_an_only_source_that_always_cuts_is_asked_on_while_it_gets_further(harbour: Harbour) -> None:
    harbour.mirrors.clear()
    harbour.origin.faults.add(Fault.CUT, tail=BIG, at=100_000)
    _, attempts = harbour.pull()
    assert ranges(harbour.origin) == ["", "bytes=100000-", "bytes=200000-"]
    assert [a.result for a in attempts] == ["cut"]
    assert attempts[0].bytes == served(harbour.origin)


def test_three_sources_can_share_one_blob(harbour: Harbour) -> None:
    one, two = harbour.mirrors
    one.faults.add(Fault.CUT, tail=BIG, at=100_000)
    two.faults.add(Fault.CUT, tail=BIG, at=100_000)
    _, attempts = harbour.pull()
    assert ranges(harbour.origin) == ["bytes=200000-"]
    assert attempts[2].bytes == served(harbour.origin) == 100_000


def test_a_token_that_ends_within_a_blob_is_renewed(harbour: Harbour) -> None:
    harbour.mirrors.clear()
    origin = harbour.origin
    origin.gatekeeper = Gatekeeper(Access(scheme="bearer", username="me", password="pw"))
    harbour.logins.by_host[origin.host] = Credentials(username="me", password="pw")
    origin.faults.add(Fault.TOKEN_EXPIRES, tail=BIG, at=100_000, times=1)
    _, attempts = harbour.pull()
    assert "bytes=100000-" in ranges(origin)
    assert attempts[0].bytes == served(origin)


def test_bytes_are_fetched_from_where_a_mirror_sends(harbour: Harbour) -> None:
    one, two = harbour.mirrors
    one.faults.add(Fault.REDIRECT, kind="blobs", location=two.url)
    _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["served", "unused", "unused"]
    assert attempts[0].bytes == served(one) + served(two)
    assert [a.redirected_to for a in attempts] == [(two.host,), (), ()]


def test_a_redirect_from_https_to_http_is_not_followed(harbour: Harbour, tmp_path: Path) -> None:
    authority = TestAuthority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(["127.0.0.1"], tmp_path))
    with ScriptedRegistry(tls=context) as secure:
        secure.shelf.add_image("org/app", "1", layers=LAYERS)
        secure.faults.add(Fault.REDIRECT_TO_HTTP, kind="blobs")
        harbour.ca_files[secure.url] = str(authority.write(tmp_path / "ca.pem"))
        harbour.mirrors.insert(0, secure)
        _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["protocol", "served", "unused", "unused"]
