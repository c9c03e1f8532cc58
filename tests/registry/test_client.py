"""The client learns a digest from every kind of registry, sound or not, and never believes a wrong byte."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fleet.errors import AuthNeeded, RegistryError, RegistryUnreachable
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.registry.address import Address
from fleet.registry.client import RegistryClient, Resolved
from fleet.registry.faults import ExchangeFailed, Failure, RateLimitError
from fleet.registry.manifest import ACCEPT, DOCKER_INDEX, DOCKER_MANIFEST
from fleet.testing.clock import ManualClock
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import HANG_S, QUICK, START, address_of, blob, fetching, resolving, with_client

APP = "org/app"


@pytest.fixture
def digest(registry: ScriptedRegistry) -> Digest:
    """Serve one image as org/app:1."""
    return registry.shelf.add_image(APP, "1", layers=[b"layer" * 100])


def methods(registry: ScriptedRegistry) -> list[str]:
    """Return the methods that were asked with, in order."""
    return [entry.method for entry in registry.log]


def test_one_head_tells_the_digest(registry: ScriptedRegistry, digest: Digest) -> None:
    """A sound registry is asked once, by the method that costs no rate limit."""
    resolved = with_client(address_of(registry), resolving("org/app:1"))
    size = len(registry.shelf.repository(APP).manifests[digest][1])
    assert resolved == Resolved(digest=digest, media_type=DOCKER_MANIFEST, size=size)
    assert methods(registry) == ["HEAD"]


def test_the_accept_list_is_dockers(registry: ScriptedRegistry, digest: Digest) -> None:
    """Another list makes some registries answer with another manifest, so another digest."""
    with_client(address_of(registry), resolving("org/app:1"))
    (entry,) = registry.log
    assert entry.headers["accept"] == ACCEPT
    assert entry.headers["accept-encoding"] == "identity"
    assert entry.headers["user-agent"] == "fleet"


def test_a_registry_that_speaks_no_tls_is_told_with_what_to_write_instead(registry: ScriptedRegistry) -> None:
    with pytest.raises(RegistryUnreachable, match=r"it speaks no TLS; where plain HTTP is meant, .* http://"):
        with_client(replace(address_of(registry), scheme="https"), resolving("org/app:1"))


def test_a_name_without_an_address_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RegistryUnreachable, match=r"no address for its name \(Name or .+\); look at the name"):
        with_client(Address(scheme="https", host="mistyped.example"), resolving("org/app:1"))


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_registry_without_head_is_asked_by_get(registry: ScriptedRegistry, digest: Digest, status: int) -> None:
    """Where HEAD is refused, the digest is that of the bytes."""
    registry.faults.add(Fault.STATUS, method="HEAD", status=status)
    assert with_client(address_of(registry), resolving("org/app:1")).digest == digest
    assert methods(registry) == ["HEAD", "GET"]


def test_a_registry_that_knows_no_head_is_not_asked_so_again(registry: ScriptedRegistry, digest: Digest) -> None:
    """405 is about the registry, so the second question goes straight to GET; 404 is about the tag."""
    registry.faults.add(Fault.NO_HEAD)

    async def twice(client: RegistryClient) -> None:
        for _ in range(2):
            assert (await client.resolve(Reference.parse("org/app:1"))).digest == digest

    with_client(address_of(registry), twice)
    assert methods(registry) == ["HEAD", "GET", "GET"]


def test_without_a_digest_header_the_bytes_are_hashed(registry: ScriptedRegistry, digest: Digest) -> None:
    """A HEAD that names no digest is followed by a GET."""
    registry.faults.add(Fault.NO_DIGEST)
    assert with_client(address_of(registry), resolving("org/app:1")).digest == digest
    assert methods(registry) == ["HEAD", "GET"]


def test_a_digest_goes_before_its_tag(registry: ScriptedRegistry, digest: Digest) -> None:
    """A pinned reference is asked for by digest."""
    with_client(address_of(registry), resolving(f"org/app:other@{digest}"))
    assert [entry.tail for entry in registry.log] == [str(digest)]


def test_no_tag_is_latest(registry: ScriptedRegistry) -> None:
    """A bare name asks for latest."""
    registry.shelf.add_image(APP, "latest")
    with_client(address_of(registry), resolving("org/app"))
    assert [entry.tail for entry in registry.log] == ["latest"]


def test_one_digest_for_amd64_and_arm64(registry: ScriptedRegistry) -> None:
    """A tag of several platforms resolves to its index, and each platform's manifest is behind it."""
    platforms = [Platform("linux", "amd64"), Platform("linux", "arm64", "v8")]
    index = registry.shelf.add_image(APP, "multi", platforms=platforms)
    resolved = with_client(address_of(registry), resolving("org/app:multi"))
    assert (resolved.digest, resolved.media_type) == (index, DOCKER_INDEX)
    manifest = with_client(address_of(registry), fetching(APP, "multi"))
    chosen = {name: manifest.choose(Platform("linux", name)) for name in ("amd64", "arm64")}
    assert len({entry.digest for entry in chosen.values() if entry}) == 2
    for entry in chosen.values():
        assert entry is not None
        assert not with_client(address_of(registry), fetching(APP, str(entry.digest))).is_index


def test_other_bytes_than_the_digest_are_refused(registry: ScriptedRegistry, digest: Digest) -> None:
    """A well-formed manifest of something else is not taken for the one that was meant."""
    registry.faults.add(Fault.OTHER_MANIFEST)

    async def by_digest(client: RegistryClient) -> None:
        await client.manifest(APP, digest)

    with pytest.raises(RegistryError, match="its bytes are others"):
        with_client(address_of(registry), by_digest)


def test_an_endless_manifest_is_cut_off(registry: ScriptedRegistry, digest: Digest) -> None:
    """A server cannot fill the memory."""
    registry.faults.add(Fault.ENDLESS)
    with pytest.raises(RegistryError, match="cannot take more than"):
        with_client(address_of(registry), fetching(APP, "1"))


def test_a_missing_tag_is_not_there(registry: ScriptedRegistry) -> None:
    """404 says so in words, with its status, and is not worth another try."""
    with pytest.raises(RegistryError, match="it is not there") as caught:
        with_client(address_of(registry), resolving("org/none:1"))
    assert (caught.value.status, caught.value.temporary) == (404, False)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_without_credentials_names_the_remedy(registry: ScriptedRegistry, digest: Digest, status: int) -> None:
    """401 and 403 ask for docker login at that host."""
    registry.faults.add(Fault.STATUS, status=status)
    with pytest.raises(AuthNeeded, match=f"{status}; log in to {registry.host} with docker login"):
        with_client(address_of(registry), resolving("org/app:1"))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_broken_registry_is_worth_another_try(registry: ScriptedRegistry, digest: Digest, status: int) -> None:
    """5xx is temporary, and says its status."""
    registry.faults.add(Fault.STATUS, status=status)
    with pytest.raises(RegistryError, match=f"status {status}") as caught:
        with_client(address_of(registry), resolving("org/app:1"))
    assert (caught.value.status, caught.value.temporary) == (status, True)


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30.0), ("Mon, 02 Nov 2026 12:00:45 GMT", 45.0), ("", None), ("later", None)]
)
def test_too_often_says_how_long_to_wait(
    registry: ScriptedRegistry, digest: Digest, header: str, seconds: float | None
) -> None:
    """429 is an error of its own, with Retry-After in seconds or as a date by the clock handed in."""
    registry.faults.add(Fault.STATUS, status=429, retry_after=header)
    with pytest.raises(RateLimitError) as caught:
        with_client(address_of(registry), resolving("org/app:1"), clock=ManualClock(START))
    assert (caught.value.retry_after_s, caught.value.status, caught.value.temporary) == (seconds, 429, True)
    assert methods(registry) == ["HEAD"]


@pytest.mark.parametrize("fault", [None, Fault.NO_HEAD])
def test_the_rate_limit_is_read_from_head_and_get(
    registry: ScriptedRegistry, digest: Digest, fault: Fault | None
) -> None:
    """What is left of Docker Hub's limit comes with either answer."""
    registry.headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "87;w=21600"}
    if fault:
        registry.faults.add(fault)
    limit = with_client(address_of(registry), resolving("org/app:1")).rate_limit
    assert limit is not None
    assert (limit.limit, limit.remaining, limit.window_s) == (100, 87, 21600)


@pytest.mark.parametrize(
    ("fault", "failure"),
    [(Fault.CLOSE, Failure.NO_ANSWER), (Fault.HANG, Failure.NO_ANSWER)],
)
def test_no_answer_is_told_from_no_connection(
    registry: ScriptedRegistry, digest: Digest, fault: Fault, failure: Failure
) -> None:
    """A server that closes or hangs is there; waiting for it ends."""
    registry.faults.add(fault)
    with pytest.raises(ExchangeFailed) as caught:
        with_client(address_of(registry), resolving("org/app:1"), patience=QUICK)
    assert caught.value.failure is failure
    assert isinstance(caught.value, RegistryUnreachable)


def test_nobody_there_is_no_connection(registry: ScriptedRegistry) -> None:
    """A refused connection fails at once."""
    with registry.down(), pytest.raises(ExchangeFailed) as caught:
        with_client(address_of(registry), resolving("org/app:1"))
    assert caught.value.failure is Failure.NO_CONNECTION


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Fault.STALL, Failure.STALLED),
        (Fault.CUT, Failure.CUT),
        (Fault.ZERO_BYTES, Failure.CUT),
    ],
)
def test_a_body_that_breaks_off_says_how(
    registry: ScriptedRegistry, digest: Digest, fault: Fault, failure: Failure
) -> None:
    """Stalled and cut are told apart, since a caller waits after one and not after the other."""
    layer = registry.shelf.add_blob(APP, b"z" * 100_000)
    registry.faults.add(fault, kind="blobs", at=5_000)
    with pytest.raises(ExchangeFailed) as caught:
        with_client(address_of(registry), blob(APP, layer), patience=QUICK)
    assert caught.value.failure is failure


def test_a_slow_body_is_not_a_stalled_one(registry: ScriptedRegistry) -> None:
    """Patience is for silence, not for size: a body may take longer than any single wait."""
    layer = registry.shelf.add_blob(APP, b"z" * 3_000)
    registry.faults.add(Fault.SLOW, kind="blobs", rate=round(3_000 / (HANG_S + 0.5)))
    assert len(with_client(address_of(registry), blob(APP, layer), patience=QUICK)) == 3_000


def test_bytes_come_as_they_are_stored(registry: ScriptedRegistry) -> None:
    """A layer that is labelled as gzip is not unpacked: its digest is that of the packed bytes."""
    layer = registry.shelf.add_blob(APP, b"\x1f\x8bnot really gzip")
    registry.faults.add(Fault.ENCODED)
    assert Digest.of(with_client(address_of(registry), blob(APP, layer))) == layer


def test_a_range_gives_the_rest(registry: ScriptedRegistry) -> None:
    """A caller that has the beginning asks for the end."""
    layer = registry.shelf.add_blob(APP, b"0123456789")

    async def rest(client: RegistryClient) -> tuple[int, bytes, str]:
        async with client.open("GET", "blobs", APP, str(layer), headers={"Range": "bytes=7-"}) as answer:
            return answer.status, await answer.read(100), answer.headers["content-range"]

    assert with_client(address_of(registry), rest) == (206, b"789", "bytes 7-9/10")


def test_ping_tells_whether_a_registry_lets_one_in(registry: ScriptedRegistry) -> None:
    """200 for an open registry, and the status of one that is not well."""
    assert with_client(address_of(registry), lambda client: client.ping()) == 200
    registry.faults.add(Fault.STATUS, kind="ping", status=503)
    assert with_client(address_of(registry), lambda client: client.ping()) == 503


def test_cookies_are_never_kept(registry: ScriptedRegistry, digest: Digest) -> None:
    """A registry cannot mark its clients."""
    registry.headers = {"Set-Cookie": "who=you; Path=/"}

    async def twice(client: RegistryClient) -> None:
        for _ in range(2):
            await client.manifest(APP, "1")

    with_client(address_of(registry), twice)
    assert all("cookie" not in entry.headers for entry in registry.log)


def test_mirrors_of_every_shape_are_asked_as_they_want(registry: ScriptedRegistry) -> None:
    """Prefix and namespace reach the server."""
    registry.shelf.add_image("hub/org/app", "1")
    address = address_of(registry, repo_prefix="hub/", ns="docker.io")
    with_client(address, resolving("org/app:1"))
    (entry,) = registry.log
    assert (entry.repository, dict(entry.query)) == ("hub/org/app", {"ns": "docker.io"})


@pytest.fixture
def nobody() -> Iterator[Address]:
    """Name a port of loopback where nobody listens."""
    with ScriptedRegistry() as gone:
        address = address_of(gone)
    yield address


def test_errors_name_where_but_not_who(nobody: Address) -> None:
    """The text has the address, and no query that a signed URL could carry."""
    with pytest.raises(ExchangeFailed, match=r"^cannot reach http://127\.0\.0\.1:\d+/v2/org/app/manifests/1: "):
        with_client(nobody, resolving("org/app:1"))
