"""What a hostile server can answer: it fails in words, costs little, leads nowhere, and brings nobody down."""

import asyncio
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import FleetError, RegistryError
from fleet.registry.address import Address
from fleet.registry.auth import _token
from fleet.registry.challenge import parse_challenges
from fleet.registry.client import RegistryClient
from fleet.registry.connections import MOST_SERVERS, Connections, Patience
from fleet.registry.faults import ExchangeFailed, printable, redacted
from fleet.registry.limits import LONGEST_WAIT_S, rate_limit, retry_after_s
from fleet.registry.manifest import OCI_INDEX, Manifest
from fleet.registry.proxies import Proxies
from fleet.registry.realm import may_ask
from fleet.registry.wide import WideBackend, WideStream
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access, Gatekeeper
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import QUICK, address_of, blob, resolving, with_client

FAR = "mirror.nowhere.test"
INSIDE = "inside.nowhere.test"
OK = b"HTTP/1.1 200 OK\r\n"
DIGEST = "sha256:" + "a" * 64


@contextmanager
def answering(answer: bytes) -> Iterator[Address]:
    """Listen, and give every request the same bytes, whatever they are."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                self.request.sendall(answer)
                if b"\nContent-Length: " not in answer:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True

    with Server(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Address(scheme="http", host=f"127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


def body(content: bytes, *headers: bytes) -> bytes:
    """Return a whole answer."""
    return OK + b"".join(h + b"\r\n" for h in headers) + b"Content-Length: %d\r\n\r\n" % len(content) + content


def index(entry: str) -> bytes:
    """Return an index with one entry."""
    return f'{{"schemaVersion": 2, "mediaType": "{OCI_INDEX}", "manifests": [{entry}]}}'.encode()


ANSWERS = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a line without end": OK + b"X: " + b"x" * 300_000,
    "headers without end": OK + b"".join(b"X%d: y\r\n" % n for n in range(30_000)),
    "a size of 5000 digits": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a negative size": OK + b"Content-Length: -5\r\n\r\n",
    "two sizes": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    "a redirect to a name that is none": b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: http://"
    + b"a" * 80
    + b".lan/x\r\n\r\n",
    "a redirect to two dots": b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: http://a..b/x\r\n\r\n",
    "a redirect to nonsense": b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: http://[x\x1b]:99999/\r\n\r\n",
    "a realm that is none": b'HTTP/1.1 401 X\r\nContent-Length: 0\r\nWWW-Authenticate: Bearer realm="\x1b]0;x\x07"\r\n\r\n',
    "an end of 1e999": body(index(f'{{"digest": "{DIGEST}", "size": 1e999}}')),
    "a size of -1": body(index(f'{{"digest": "{DIGEST}", "size": -1}}')),
    "a digest that is a path": body(index('{"digest": "sha256:../../../etc/passwd", "size": 1}')),
    "a size of 2**63": body(index(f'{{"digest": "{DIGEST}", "size": {2**63}}}')),
    "a digest that is a number": body(index('{"digest": 5, "size": 1}')),
    "a type that is a list": body(b'{"mediaType": [], "manifests": {}}'),
    "a manifest that is too deep": body(b"[" * 200_000),
    "a manifest that is too large": body(b" " * (4 * 1024 * 1024 + 1)),
    "a number of 5000 digits": body(index(f'{{"digest": "{DIGEST}", "size": {"9" * 5000}}}')),
    "a year that is none": b"HTTP/1.1 429 X\r\nContent-Length: 0\r\nRetry-After: Mon, 01 Jan 99999999999999999999 00:00:00 GMT\r\n\r\n",
    "chunks without size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_is_answered_fails_in_words(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """With an error of ours, short enough for a log, and without a character that steers a terminal."""
    with answering(answer) as address, caplog.at_level(logging.DEBUG), pytest.raises(FleetError) as caught:
        with_client(address, resolving("org/app:1"), patience=QUICK)
    told = [
        str(caught.value),
        *(str(value) for r in caplog.records if r.name.startswith("fleet") for value in vars(r).values()),
    ]
    assert str(caught.value).startswith("cannot ")
    assert not any("\x1b" in text for text in told)
    assert max(map(len, told)) < 2000


def test_answers_before_the_answer_end_with_the_time_for_it() -> None:
    """A server may say "go on" for ever."""
    begun = time.monotonic()
    quick = Patience(connect_s=20, first_byte_s=1, silence_s=20)
    with answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + b"HTTP/1.1 10") as address, pytest.raises(FleetError):
        with_client(address, resolving("org/app:1"), patience=quick)
    assert time.monotonic() - begun < 60


@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,30} [0-9:]{1,12} [+-]?[0-9A-Z]{0,12}")
)
def test_any_time_to_wait_is_some_seconds_or_none(text: str) -> None:
    waits = retry_after_s({"retry-after": text}, datetime.now(UTC))
    assert waits is None or 0 <= waits <= LONGEST_WAIT_S


@given(*[st.text(max_size=40) | st.from_regex(r"[0-9]{1,30}(;w=[0-9]{1,30})?")] * 3)
def test_any_rate_limit_can_be_kept(limit: str, remaining: str, source: str) -> None:
    found = rate_limit({"ratelimit-limit": limit, "ratelimit-remaining": remaining, "docker-ratelimit-source": source})
    assert found is None or all(0 <= n < 2**31 for n in (found.limit, found.remaining, found.window_s))
    assert found is None or found.source.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(DIGEST),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["mediaType", "manifests", "layers", "config", "digest", "size", "urls", "platform", "annotations"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_manifest_or_none(document: Any) -> None:
    try:
        Manifest.read(json.dumps(document).encode(), OCI_INDEX)
    except RegistryError as error:
        assert str(error).startswith("cannot ")


@given(st.dictionaries(st.sampled_from(["token", "access_token", "expires_in"]), JSON | st.just(10**400)))
def test_any_json_is_a_token_or_none(document: Any) -> None:
    token, _ = _token(json.dumps(document).encode())
    assert isinstance(token, str)


@given(st.lists(st.text(alphabet='abB=",\\ \t', max_size=200), max_size=5))
def test_any_challenge_can_be_read(values: list[str]) -> None:
    assert isinstance(parse_challenges(values), tuple)


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\u202eb", "a\rb\nc", "x" * 5000])
def test_what_a_server_named_is_told_in_print(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 500
    assert redacted(f"http://h/{text}").isprintable()


@pytest.mark.parametrize(
    "host",
    [
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "127.1",
        "0",
        "[::ffff:169.254.169.254]",
        "[::ffff:127.0.0.1]",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[::]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "any.localhost",
        "LOCALHOST.",
    ],
)
def test_no_spelling_leads_to_this_machine_or_its_clouds_secrets(host: str) -> None:
    assert not may_ask("http://reg.lan/v2/", f"http://{host}/x")


@pytest.fixture(params=["127.0.0.1", "::ffff:127.0.0.1"])
def inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a name that says nothing of it lead to this machine, as whoever owns a domain may."""
    real: Callable[..., Any] = socket.getaddrinfo

    def find(host: str, *arguments: Any, **more: Any) -> Any:
        return real(str(request.param) if host == INSIDE else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return INSIDE


def test_a_redirect_to_a_name_that_leads_here_is_not_followed(
    inside: str, registry: ScriptedRegistry, other: ScriptedRegistry
) -> None:
    """The engine's own API may listen there, and whatever else believes that only this machine asks."""
    registry.faults.add(Fault.REDIRECT, location=f"http://{inside}:{other.port}")
    address = Address(scheme="http", host=FAR, proxy=registry.url)
    with pytest.raises(ExchangeFailed, match="it leads to this machine"):
        with_client(address, resolving("org/app:1"))
    assert other.log == []


def test_no_token_is_asked_for_where_a_name_leads_here(
    inside: str, registry: ScriptedRegistry, other: ScriptedRegistry
) -> None:
    """A cloud's metadata would answer with one, which the mirror would then be shown."""
    realm = f"http://{inside}:{other.port}/token"
    registry.gatekeeper = Gatekeeper(Access(scheme="bearer", username="u", password="p", realm=realm))
    address = Address(scheme="http", host=FAR, proxy=registry.url)
    with pytest.raises(ExchangeFailed, match="it leads to this machine"):
        with_client(address, resolving("org/app:1"))
    assert other.log == []


@pytest.mark.parametrize("inside", ["127.0.0.1"], indirect=True)
def test_a_mirror_on_this_machine_may_name_others_here(
    inside: str, registry: ScriptedRegistry, other: ScriptedRegistry
) -> None:
    layer = b"layer"
    registry.shelf.add_image("org/app", "1", layers=[layer])
    other.shelf.add_image("org/app", "1", layers=[layer])
    digest = other.shelf.add_blob("org/app", layer)
    registry.faults.add(Fault.REDIRECT, location=f"http://{inside}:{other.port}")
    assert with_client(address_of(registry), blob("org/app", digest)) == layer


def test_a_host_is_at_home_only_where_it_was_met_here_and_nowhere_else() -> None:
    """Whoever owns a name may have it lead here, too, for a moment, and then send to what listens here."""

    def follows(*met: str) -> bool:
        asked = Connections(Address(scheme="http", host=FAR), proxies=Proxies(), patience=Patience())
        for peer in met:
            assert not asked._refusal(f"http://{FAR}/v2/")("127.0.0.1")
            asked._meets(f"http://{FAR}/v2/")(peer)
        return not asked._refusal(f"http://{INSIDE}/v2/")("127.0.0.1")

    assert not follows()
    assert follows("127.0.0.1") and follows("::1", "127.0.0.1")
    assert not follows("192.0.2.1", "127.0.0.1") and not follows("127.0.0.1", "192.0.2.1")


def test_who_took_a_connection_is_told_and_not_who_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = socket.getaddrinfo

    def find(host: str, port: int, *arguments: Any, **more: Any) -> Any:
        return [*real("127.0.0.9", free, *arguments, **more), *real("127.0.0.1", port, *arguments, **more)]

    met: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.9", 0)) as gone:
        free = gone.getsockname()[1]
        gone.close()
        monkeypatch.setattr(socket, "getaddrinfo", find)

        async def connect() -> None:
            stream = await WideBackend(met=met.append).connect_tcp(INSIDE, server.getsockname()[1])
            await stream.aclose()

        asyncio.run(connect())
    assert met == ["127.0.0.1"]


@pytest.mark.parametrize("peer", ["169.254.169.254", "fe80::1%2", "0.0.0.0", "100.100.100.200"])
def test_a_mirrors_own_name_never_leads_to_its_clouds_secrets(peer: str) -> None:
    """Whoever owns the name may change where it leads between two requests; who writes the address itself means it."""

    def refuses(host: str) -> bool:
        asked = Connections(Address(scheme="http", host=host), proxies=Proxies(), patience=Patience())
        return asked._refusal(f"http://{host}/v2/")(peer)

    assert refuses("mirror.lan")
    assert not refuses("169.254.169.254") or peer != "169.254.169.254"
    with pytest.raises(httpcore2.ConnectError, match="it leads to this machine"):
        asyncio.run(WideBackend(lambda _: True).connect_tcp("127.0.0.1", 1))


@contextmanager
def counting(goes_on: Callable[[int], bool]) -> Iterator[tuple[Address, list[int]]]:
    """Answer what is asked over one connection as long as *goes_on* (told how often it was asked), then close it.

    The list says how often each connection was asked.
    """
    asked: list[int] = []

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            count = 0
            mine = len(asked)
            asked.append(0)
            while self.request.recv(65536):
                count = asked[mine] = count + 1
                if not goes_on(count):
                    return
                self.request.sendall(body(b"x"))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True

    with Server(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Address(scheme="http", host=f"127.0.0.1:{server.server_address[1]}"), asked
        finally:
            server.shutdown()
            thread.join()


def test_a_kept_connection_that_is_closed_at_its_next_request_costs_nothing() -> None:
    """Balancers close what is unused without a word: the request goes over a new connection."""

    async def ask(client: RegistryClient) -> list[bytes]:
        return [await blob("org/app", DIGEST)(client) for _ in range(3)]

    with counting(lambda count: count == 1) as (address, asked):
        assert with_client(address, ask) == [b"x"] * 3
    assert asked == [2, 2, 1]


def test_several_kept_connections_that_are_closed_cost_nothing_either() -> None:
    async def ask(client: RegistryClient) -> list[bytes]:
        at_once = [blob("org/app", DIGEST)(client) for _ in range(4)]
        await asyncio.gather(*at_once)
        return await asyncio.gather(*[blob("org/app", DIGEST)(client) for _ in range(4)])

    with counting(lambda count: count == 1) as (address, asked):
        assert with_client(address, ask) == [b"x"] * 4
    assert sum(asked) == 12


def test_a_new_connection_that_is_closed_without_an_answer_is_not_tried_again() -> None:
    with counting(lambda _: False) as (address, asked), pytest.raises(ExchangeFailed, match="disconnected"):
        with_client(address, blob("org/app", DIGEST))
    assert asked == [1]


def test_servers_that_name_ever_more_others_fill_no_memory() -> None:
    """Each other server has a pool of its own, with what it trusts, and a hostile mirror has many names."""

    async def ask(client: RegistryClient) -> int:
        for name in range(3 * MOST_SERVERS):
            registry.faults.add(Fault.REDIRECT, location=f"http://127.0.0.{name + 2}:{registry.port}", times=1)
            async with client.open("GET", "blobs", "org/app", DIGEST) as answer:
                assert answer.redirected_to == f"127.0.0.{name + 2}:{registry.port}"
                await answer.read(1 << 20)
        return len(client._connections._pools)

    with ScriptedRegistry(bind="0.0.0.0") as registry:
        address = Address(scheme="http", host=f"127.0.0.1:{registry.port}")
        assert with_client(address, ask) == MOST_SERVERS


def test_a_server_whose_answer_is_being_read_is_not_let_go() -> None:
    """However many others are named meanwhile."""

    async def ask(client: RegistryClient) -> bytes:
        registry.faults.add(Fault.REDIRECT, location=f"http://127.0.0.2:{registry.port}", times=1)
        async with client.open("GET", "blobs", "org/app", str(digest)) as answer:
            for name in range(2 * MOST_SERVERS):
                registry.faults.add(Fault.REDIRECT, location=f"http://127.0.1.{name + 2}:{registry.port}", times=1)
                async with client.open("GET", "blobs", "org/app", DIGEST) as other:
                    await other.read(1 << 20)
            return await answer.read(1 << 26)

    layer = b"x" * 20_000_000
    with ScriptedRegistry(bind="0.0.0.0") as registry:
        digest = registry.shelf.add_blob("org/app", layer)
        address = Address(scheme="http", host=f"127.0.0.1:{registry.port}")
        assert with_client(address, ask) == layer


def test_records_without_a_byte_do_not_hold_a_thread() -> None:
    """TLS may carry tickets and new keys for ever, each of which is something to read."""

    class Empty:
        object = None

        def read_into(self, room: memoryview) -> None:
            return None

        def feed(self, content: memoryview) -> None:
            pass

    here, there = socket.socketpair()
    stopping = threading.Event()

    def flood() -> None:
        there.settimeout(0.1)
        while not stopping.is_set():
            try:
                there.send(b"\x17\x03\x03" * 1000)
            except TimeoutError:
                continue

    from fleet.registry.wide import _Wire

    sender = threading.Thread(target=flood, daemon=True)
    sender.start()
    try:
        begun = time.monotonic()
        assert WideStream(_Wire(here), Empty()).pour(memoryview(bytearray(100)), 0.2) is None  # type: ignore[arg-type]
        assert time.monotonic() - begun < 30
    finally:
        stopping.set()
        sender.join()
        here.close()
        there.close()
