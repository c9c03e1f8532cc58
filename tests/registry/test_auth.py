"""Fleet proves who it is where it is asked to, once per repository, and shows credentials to nobody else."""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fleet.errors import AuthNeeded, RegistryError
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import Credentials
from fleet.registry.faults import ExchangeFailed, RateLimitError
from fleet.testing.clock import ManualClock
from fleet.testing.entry import Entry
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import HANG_S, QUICK, Known, address_of, blob, fetching, resolving, with_client

APP = "org/app"
USER = Credentials(username="ann", password="pass:word ä")
IDENTITY = Credentials(username="00000000-0000", identity_token="refresh-me")

Opened = Callable[..., ScriptedRegistry]


@pytest.fixture
def guarded() -> Iterator[Opened]:
    """Open registries that ask who one is, with one image each."""
    with ExitStack() as stack:

        def opened(bind: str = "127.0.0.1", **access: object) -> ScriptedRegistry:
            registry = ScriptedRegistry(bind=bind, access=Access(**access))  # type: ignore[arg-type]
            stack.enter_context(registry)
            registry.shelf.add_image(APP, "1", layers=[b"layer" * 100])
            return registry

        yield opened


def known(registry: ScriptedRegistry, credentials: Credentials) -> Known:
    """Know *credentials* at *registry* alone."""
    return Known({registry.host: credentials})


def asked(registry: ScriptedRegistry) -> list[tuple[str, str, int]]:
    """Return what was asked, in order."""
    return [(entry.method, entry.kind, entry.status) for entry in registry.log]


def tokens(registry: ScriptedRegistry) -> list[Entry]:
    """Return the requests for a token."""
    return [entry for entry in registry.log if entry.kind == "token"]


def test_basic_is_shown_once_it_is_asked_for(guarded: Opened) -> None:
    """Nothing is shown unasked; after the first 401 the password goes with every request."""
    registry = guarded(scheme="basic", username="ann", password=USER.password)

    async def twice(client: RegistryClient) -> None:
        for _ in range(2):
            await client.resolve(Reference.parse("org/app:1"))

    with_client(address_of(registry), twice, credentials=known(registry, USER))
    assert asked(registry) == [("HEAD", "manifests", 401), ("HEAD", "manifests", 200), ("HEAD", "manifests", 200)]
    assert "authorization" not in registry.log[0].headers
    shown = registry.log[1].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(shown).decode() == f"ann:{USER.password}"


def test_a_wrong_password_is_tried_once(guarded: Opened) -> None:
    """A registry that counts failures does not lock the account out."""
    registry = guarded(scheme="basic", username="ann", password="other")
    with pytest.raises(AuthNeeded, match="log in to"):
        with_client(address_of(registry), resolving("org/app:1"), credentials=known(registry, USER))
    assert asked(registry) == [("HEAD", "manifests", 401), ("HEAD", "manifests", 401)]


def test_a_password_that_is_refused_again_is_not_shown_unasked_any_more(guarded: Opened) -> None:
    registry = guarded(scheme="basic", username="ann", password="other")

    async def later(client: RegistryClient) -> None:
        for _ in range(3):
            with pytest.raises(AuthNeeded):
                await client.resolve(Reference.parse("org/app:1"))

    with_client(address_of(registry), later, credentials=known(registry, USER))
    assert ["authorization" in entry.headers for entry in registry.log] == [False, True, True, False, True]


def test_nobody_shows_nothing(guarded: Opened) -> None:
    """Without credentials a Basic registry is asked once, and the error names the remedy."""
    registry = guarded(scheme="basic", username="ann", password="x")
    with pytest.raises(AuthNeeded, match="docker login"):
        with_client(address_of(registry), resolving("org/app:1"))
    assert asked(registry) == [("HEAD", "manifests", 401)]


def test_anyone_gets_a_token_where_it_is_given(guarded: Opened) -> None:
    """Docker Hub's public images: challenge, token, answer; the service and scope are those of the challenge."""
    registry = guarded(scheme="bearer")
    with_client(address_of(registry), resolving("org/app:1"))
    assert asked(registry) == [("HEAD", "manifests", 401), ("GET", "token", 200), ("HEAD", "manifests", 200)]
    (token,) = tokens(registry)
    assert dict(token.query) == {"service": "scriptable", "scope": "repository:org/app:pull"}
    assert "authorization" not in token.headers


def test_a_user_gets_a_token_by_password(guarded: Opened) -> None:
    """The password goes to the realm, and the token alone to the registry."""
    registry = guarded(scheme="bearer", username="ann", password=USER.password)
    with_client(address_of(registry), resolving("org/app:1"), credentials=known(registry, USER))
    (token,) = tokens(registry)
    assert token.headers["authorization"] == USER.basic
    assert [entry.headers.get("authorization", "")[:6] for entry in registry.log if entry.kind != "token"] == [
        "",
        "Bearer",
    ]


def test_an_identity_token_goes_by_post(guarded: Opened) -> None:
    """What docker login stores for ACR and others is exchanged as OAuth 2 says."""
    registry = guarded(scheme="bearer", username="nobody", password="x", identity_token="refresh-me")
    with_client(address_of(registry), resolving("org/app:1"), credentials=known(registry, IDENTITY))
    assert asked(registry)[1] == ("POST", "token", 200)
    assert registry.gatekeeper.scopes == ["repository:org/app:pull"]


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_a_realm_that_knows_no_post_is_asked_by_get(guarded: Opened, status: int) -> None:
    """ACR, Artifactory and GCR differ in how they say no to a POST; the user's name then goes with the token."""
    registry = guarded(scheme="bearer", username=IDENTITY.username, password="refresh-me")
    registry.faults.add(Fault.STATUS, kind="token", method="POST", status=status)
    with_client(address_of(registry), resolving("org/app:1"), credentials=known(registry, IDENTITY))
    assert [entry.method for entry in tokens(registry)] == ["POST", "GET"]


def test_a_registry_token_is_shown_as_it_is(guarded: Opened) -> None:
    """config.json may hold a bearer token; no realm is asked then."""
    registry = guarded(scheme="bearer")
    credentials = known(registry, Credentials(registry_token="ready-made"))
    with pytest.raises(AuthNeeded):
        with_client(address_of(registry), resolving("org/app:1"), credentials=credentials)
    assert tokens(registry) == []
    assert registry.log[-1].headers["authorization"] == "Bearer ready-made"


def test_a_token_serves_until_shortly_before_its_end(guarded: Opened) -> None:
    """One token for many requests, renewed ten seconds early by the clock handed in."""
    registry, clock = guarded(scheme="bearer", life_s=300), ManualClock()

    async def over_time(client: RegistryClient) -> list[int]:
        counts = []
        for wait_s in (0, 289, 2):
            clock.sleep(wait_s)
            await client.resolve(Reference.parse("org/app:1"))
            counts.append(len(tokens(registry)))
        return counts

    assert with_client(address_of(registry), over_time, clock=clock) == [1, 1, 2]


def test_a_token_without_a_life_lives_for_a_minute(guarded: Opened) -> None:
    """The token specification's default, for realms that do not say."""
    registry, clock = guarded(scheme="bearer", tells_life=False, token_field="access_token"), ManualClock()

    async def over_time(client: RegistryClient) -> list[int]:
        counts = []
        for wait_s in (0, 49, 2):
            clock.sleep(wait_s)
            await client.resolve(Reference.parse("org/app:1"))
            counts.append(len(tokens(registry)))
        return counts

    assert with_client(address_of(registry), over_time, clock=clock) == [1, 1, 2]


def test_a_token_that_is_refused_early_is_renewed_once(guarded: Opened) -> None:
    """A registry may forget tokens; the next request gets a new one and no error is seen."""
    registry = guarded(scheme="bearer")

    async def forgotten(client: RegistryClient) -> None:
        await client.resolve(Reference.parse("org/app:1"))
        registry.gatekeeper.revoke()
        await client.resolve(Reference.parse("org/app:1"))

    with_client(address_of(registry), forgotten)
    assert [entry.status for entry in registry.log] == [401, 200, 200, 401, 200, 200]


def test_a_token_whose_time_ends_on_its_way_is_renewed_once(guarded: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time of the refusal no token is known any more, and that is no reason to show nothing."""
    registry, clock = guarded(scheme="bearer", life_s=300), ManualClock()
    refusal = registry.gatekeeper.refusal

    def late(*request: Any) -> Any:
        registry.gatekeeper.revoke()
        clock.sleep(2)
        monkeypatch.setattr(registry.gatekeeper, "refusal", refusal)
        return refusal(*request)

    async def slow(client: RegistryClient) -> None:
        await client.resolve(Reference.parse("org/app:1"))
        clock.sleep(289)
        monkeypatch.setattr(registry.gatekeeper, "refusal", late)
        await client.resolve(Reference.parse("org/app:1"))

    with_client(address_of(registry), slow, clock=clock)
    assert [entry.status for entry in registry.log] == [401, 200, 200, 401, 200, 200]


def test_each_repository_has_its_own_token(guarded: Opened) -> None:
    """Tokens are kept by repository, as their scopes are."""
    registry = guarded(scheme="bearer")
    registry.shelf.add_image("org/second", "1")

    async def both(client: RegistryClient) -> None:
        for name in ("org/app:1", "org/second:1", "org/app:1"):
            await client.resolve(Reference.parse(name))

    with_client(address_of(registry), both)
    assert registry.gatekeeper.scopes == ["repository:org/app:pull", "repository:org/second:pull"]


def test_many_at_once_share_one_token(guarded: Opened) -> None:
    """Ten layers at once cost one request for a token."""
    registry = guarded(scheme="bearer")
    layer = registry.shelf.add_blob(APP, b"layer")

    async def at_once(client: RegistryClient) -> list[bytes]:
        return await asyncio.gather(*(blob(APP, layer)(client) for _ in range(10)))

    assert with_client(address_of(registry), at_once) == [b"layer"] * 10
    assert len(tokens(registry)) == 1


def test_a_prefixed_mirror_is_asked_for_its_own_scope(guarded: Opened) -> None:
    """The scope is what the mirror's challenge names, not the origin's path."""
    registry = guarded(scheme="bearer")
    registry.shelf.add_image("hub/org/app", "1")
    with_client(address_of(registry, repo_prefix="hub/"), resolving("org/app:1"))
    assert registry.gatekeeper.scopes == ["repository:hub/org/app:pull"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_realm_that_says_no_ends_in_auth_needed(guarded: Opened, status: int) -> None:
    """A denied token is the registry's 401, with the remedy."""
    registry = guarded(scheme="bearer")
    registry.faults.add(Fault.STATUS, kind="token", status=status)
    with pytest.raises(AuthNeeded, match="docker login"):
        with_client(address_of(registry), resolving("org/app:1"))


def test_a_realm_asked_too_often_says_so(guarded: Opened) -> None:
    """A rate limit on tokens is a rate limit."""
    registry = guarded(scheme="bearer")
    registry.faults.add(Fault.STATUS, kind="token", status=429, retry_after="7")
    with pytest.raises(RateLimitError) as caught:
        with_client(address_of(registry), resolving("org/app:1"))
    assert caught.value.retry_after_s == 7.0


def test_a_broken_realm_is_worth_another_try(guarded: Opened) -> None:
    """5xx from a realm is temporary, and says that it was about the token."""
    registry = guarded(scheme="bearer")
    registry.faults.add(Fault.STATUS, kind="token", status=503)
    with pytest.raises(RegistryError, match="cannot get a token") as caught:
        with_client(address_of(registry), resolving("org/app:1"))
    assert caught.value.temporary


def test_a_realm_that_hangs_is_given_up(guarded: Opened) -> None:
    """The time for the first byte holds for the token, too."""
    registry = guarded(scheme="bearer")
    registry.faults.add(Fault.HANG, kind="token")
    with pytest.raises(ExchangeFailed, match=f"within {HANG_S:g} s"):
        with_client(address_of(registry), resolving("org/app:1"), patience=QUICK)


@pytest.mark.parametrize("fault", [Fault.WRONG_BYTES, Fault.ZERO_BYTES, Fault.ENDLESS])
def test_a_realm_that_answers_nonsense_is_an_error(guarded: Opened, fault: Fault) -> None:
    """An answer without a token, a cut one and an endless one end, each as an error of Fleet's."""
    registry = guarded(scheme="bearer")
    registry.faults.add(fault, kind="token")
    with pytest.raises((RegistryError, ExchangeFailed), match=r"^cannot "):
        with_client(address_of(registry), resolving("org/app:1"))


def test_a_token_that_would_break_the_header_is_refused(guarded: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A realm cannot put lines of its own into Fleet's requests."""
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "x\r\nX-Evil: 1")
    registry = guarded(scheme="bearer")
    with pytest.raises(RegistryError, match="its answer holds none"):
        with_client(address_of(registry), resolving("org/app:1"))


def test_another_server_as_realm_gives_the_token(guarded: Opened) -> None:
    """Docker Hub's realm is another server; it is asked, and its token is shown to the registry."""
    realm = guarded(scheme="bearer")
    registry = guarded(scheme="bearer", realm=f"{realm.url}/token")
    with pytest.raises(AuthNeeded):  # the registry does not know the other's tokens, but it was shown one
        with_client(address_of(registry), resolving("org/app:1"))
    assert len(tokens(realm)) == 1
    assert registry.log[-1].headers["authorization"].startswith("Bearer ")


def test_a_foreign_realm_sees_no_password(guarded: Opened, caplog: pytest.LogCaptureFixture) -> None:
    """A mirror that names somebody else's realm gets no credentials out of Fleet, and the log says so once."""
    realm = guarded(bind="127.0.0.2", scheme="bearer")
    registry = guarded(scheme="bearer", realm=f"{realm.url}/token", username="ann", password=USER.password)
    with caplog.at_level(logging.WARNING), pytest.raises(AuthNeeded):
        with_client(address_of(registry), resolving("org/app:1"), credentials=known(registry, USER))
    assert ["authorization" in entry.headers for entry in realm.log] == [False]
    assert [record.message for record in caplog.records] == ["realm not trusted with credentials"]


def test_a_foreign_realm_sees_no_identity_token(guarded: Opened) -> None:
    """Neither is a refresh token posted there."""
    realm = guarded(bind="127.0.0.2", scheme="bearer", identity_token="refresh-me")
    registry = guarded(scheme="bearer", realm=f"{realm.url}/token")
    with pytest.raises(AuthNeeded):
        with_client(address_of(registry), resolving("org/app:1"), credentials=known(registry, IDENTITY))
    assert [entry.method for entry in realm.log] == ["GET"]


def test_a_realm_at_a_forbidden_place_is_not_asked(guarded: Opened) -> None:
    """ftp, file and nonsense are no realms."""
    for realm in ("ftp://127.0.0.1/token", "file:///etc/passwd", "", "http://"):
        registry = guarded(scheme="bearer", realm=realm or " ")
        with pytest.raises(RegistryError, match="may not name such a realm"):
            with_client(address_of(registry), resolving("org/app:1"))


def test_credentials_are_looked_up_by_the_host_that_is_asked(guarded: Opened) -> None:
    """A mirror of Docker Hub never sees Docker Hub's password, which the graph driver of Docker shows it."""
    registry = guarded(scheme="basic", username="ann", password=USER.password)
    hub = Known({"docker.io": USER, "registry-1.docker.io": USER, "index.docker.io": USER})
    with pytest.raises(AuthNeeded):
        with_client(address_of(registry), resolving("docker.io/org/app:1"), credentials=hub)
    assert all("authorization" not in entry.headers for entry in registry.log)


def test_a_token_that_ends_under_way_costs_one_more_request(guarded: Opened) -> None:
    """After a cut whose token is worth nothing any more, the same client goes on from where it was."""
    registry = guarded(scheme="bearer")
    layer = registry.shelf.add_blob(APP, bytes(range(256)) * 4)
    # The first request is the one that is refused for want of a token.
    registry.faults.add(Fault.TOKEN_EXPIRES, kind="blobs", at=300, after=1, times=1)

    async def resumed(client: RegistryClient) -> bytes:
        got = bytearray()
        with pytest.raises(ExchangeFailed):
            async with client.open("GET", "blobs", APP, str(layer)) as answer:
                async for chunk in answer.chunks():
                    got += chunk
        async with client.open("GET", "blobs", APP, str(layer), headers={"Range": f"bytes={len(got)}-"}) as answer:
            assert answer.status == 206
            return bytes(got) + await answer.read(10_000)

    assert Digest.of(with_client(address_of(registry), resumed)) == layer
    assert len(tokens(registry)) == 2


def test_manifest_and_blob_of_a_guarded_registry(guarded: Opened) -> None:
    """The whole way of a pull through one guarded registry."""
    registry = guarded(scheme="bearer", username="ann", password=USER.password)
    manifest = with_client(address_of(registry), fetching(APP, "1"), credentials=known(registry, USER))
    for entry in manifest.blobs:
        content = with_client(address_of(registry), blob(APP, entry.digest), credentials=known(registry, USER))
        assert entry.digest.proves(content)
