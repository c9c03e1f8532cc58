"""The connections of one registry client: one pool per server, each with its own TLS and proxy, and time limits."""

import asyncio
import http.cookiejar
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from fleet.errors import BadInput, RegistryError
from fleet.registry.address import Address, origin_of
from fleet.registry.dial import Refusal
from fleet.registry.faults import ExchangeFailed, Failure, printable, redacted
from fleet.registry.named import NONE, proxy_url
from fleet.registry.proxies import Proxies
from fleet.registry.realm import address_of, is_for_machine_alone, is_private_to_machine, same_server
from fleet.registry.sending import MOST_IDLE, sent
from fleet.registry.stamps import Stamp
from fleet.registry.tls import DOCKER_CERTS, client_context, stamps_of
from fleet.registry.wide import WideBackend

CONNECT_S = 3.0
"""A server that has not taken a connection by then is down: SYN is sent a second time after one second."""
FIRST_BYTE_S = 10.0
"""For tokens, redirects and the header together: a cold pull-through cache answers well within, a hanging one never."""
SILENCE_S = 10.0
"""A body that pauses longer is stalled: no healthy link is silent for so long."""
MOST_SERVERS = 16
"""So many servers that one address named are remembered with their connections: stores and realms are a few, and a
hostile server could name another one each time."""
Server = tuple[str, str, int]
"""Scheme, host and port."""
IDLE_S = 4.0
"""How long an unused connection is kept: below the five seconds after which common servers close theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an exchange may take to get on, in seconds."""

    connect_s: float = CONNECT_S
    first_byte_s: float = FIRST_BYTE_S
    silence_s: float = SILENCE_S


class _Terms(NamedTuple):
    """On which terms the connections to one server are made."""

    named: str
    """Its host and port, as ``certs.d`` names them."""
    own: bool
    """Whether it is the address itself."""
    proxy: str | None
    files: tuple[Stamp, ...] = ()
    """Those by which it is trusted, and what is shown to it."""


class _Pool(NamedTuple):
    terms: _Terms
    client: httpx2.AsyncClient


class Connections:
    """Sends requests for one address, to it and to the servers that it names; belongs to one event loop."""

    def __init__(
        self,
        address: Address,
        *,
        proxies: Proxies,
        patience: Patience,
        certs: Sequence[Path] = DOCKER_CERTS,
        user_agent: str = "fleet",
    ) -> None:
        self._address = address
        self._proxies = proxies
        self._patience = patience
        self._certs = certs
        self._user_agent = user_agent
        self._pools: dict[Server, _Pool] = {}
        """What was used last stands last."""
        self._outdated: list[tuple[Server, _Pool]] = []
        """Those on terms of before, while an answer of theirs is still being read."""
        self._asked: Counter[Server] = Counter()
        """How many requests are on their way to a server and have no answer yet."""
        self._at_home: bool | None = None
        """Whether the address's own host was met on this machine itself and nowhere else; None: it was not met yet."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send one request and return its answer with the body still to be read; the caller closes it.

        Redirects are not followed. Raise ExchangeFailed where no answer comes, RegistryError for an unusable URL.
        """
        server = origin_of(url)
        self._asked[server] += 1
        try:
            client = await self._client(server, url)
            return await sent(client, method, url, headers, form)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise RegistryError(f"cannot ask {redacted(url)}: the registry named an unusable URL") from error
        except httpx2.HTTPError as error:
            raise _failed(url, error, by=self._address.proxy if self._is_own(url) else "") from error
        finally:
            self._asked[server] -= 1

    async def _client(self, server: Server, url: str) -> httpx2.AsyncClient:
        """Return the pool of *server*, made anew where a certificate was renewed since, or an authority put in its place."""
        terms = self._terms_for(url)
        if new := not self._has(server, terms):
            made = _Pool(terms, await asyncio.to_thread(self._connect, url, terms))
            # Another task may have made one meanwhile; theirs may be in use, this one is not yet.
            if not self._has(server, terms):
                if server in self._pools:
                    self._outdated.append((server, self._pools[server]))
                self._pools[server] = made
        pool = self._pools[server] = self._pools.pop(server)
        if new:
            await self._let_go()
        return pool.client

    def _has(self, server: Server, terms: _Terms) -> bool:
        return (pool := self._pools.get(server)) is not None and pool.terms == terms

    async def _let_go(self) -> None:
        """Close what was not used for longest, where servers name ever more others, and what is not up to date any more."""
        for server, pool in list(self._pools.items())[:-MOST_SERVERS]:
            if self._pools.get(server) is pool and not self._asked[server] and not _is_busy(pool.client):
                del self._pools[server], self._asked[server]
                await pool.client.aclose()
        outdated, self._outdated = self._outdated, []
        for server, pool in outdated:
            # The request that is on its way now has a newer one.
            if self._asked[server] > 1 or _is_busy(pool.client):
                self._outdated.append((server, pool))
            else:
                await pool.client.aclose()

    def _terms_for(self, url: str) -> "_Terms":
        """Return by which proxy the server of *url* is reached, and the files by which it is trusted, as they are now."""
        scheme, host, port = origin_of(url)
        own = same_server(url, self._address.ping_url)
        named = self._address.host if own else (host if port == 443 else f"{host}:{port}")
        terms = _Terms(named, own, self._proxy(url))
        if scheme != "https":
            return terms
        ca_file, client, certs = self._address.ca_file, self._shown(terms), self._certs
        return terms._replace(files=stamps_of(named, ca_file=ca_file, client=client, certs=certs))

    def _connect(self, url: str, terms: "_Terms") -> httpx2.AsyncClient:
        """Make the pool for the server of *url*."""
        tls, proxy = origin_of(url)[0] == "https", terms.proxy
        transport = httpx2.AsyncHTTPTransport(
            verify=self._trust(terms) if tls else False,
            proxy=proxy,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=MOST_IDLE, keepalive_expiry=IDLE_S),
            trust_env=False,
        )
        # The library's pool takes a backend, and its transport has no way to hand one on.
        transport._pool._network_backend = WideBackend() if proxy else WideBackend(self._refusal(url), self._meets(url))
        return httpx2.AsyncClient(
            transport=transport,
            timeout=httpx2.Timeout(self._patience.silence_s, connect=self._patience.connect_s, pool=None),
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            cookies=http.cookiejar.CookieJar(policy=http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )

    def _is_own(self, url: str) -> bool:
        """Tell whether *url* is on the address's own host, on whatever port."""
        return origin_of(url)[1] == origin_of(self._address.ping_url)[1]

    def _proxy(self, url: str) -> str | None:
        """Return the proxy for *url*: the address's own is for its own host alone."""
        if not self._address.proxy or not self._is_own(url):
            return self._proxies.for_url(url)
        try:
            return proxy_url(self._address.proxy)
        except BadInput as error:
            raise ExchangeFailed(f"cannot reach {redacted(url)}: {error}", failure=Failure.NO_CONNECTION) from error

    def _refusal(self, url: str) -> Refusal:
        """Return who tells which addresses a connection for *url* must not lead to.

        The address's own host may be on this machine, and then name others there; what a server elsewhere names may not,
        whatever its name resolves to at this moment.
        """
        spelled = address_of(origin_of(self._address.ping_url)[1])
        if self._is_own(url):

            def refuses(peer: str) -> bool:
                address = address_of(peer)
                return address is not None and address != spelled and is_for_machine_alone(address)
        else:

            def refuses(peer: str) -> bool:
                address = address_of(peer)
                return not self._at_home and (address is None or is_private_to_machine(str(address)))

        return refuses

    def _meets(self, url: str) -> Callable[[str], None]:
        """Return who is told which address took a connection for *url*.

        Whoever owns a name may let it lead here between two answers, or beside the address that answers: a host is at home
        where it was met here and nowhere else.
        """

        def met(peer: str) -> None:
            address = address_of(peer)
            self._at_home = self._at_home is not False and address is not None and address.is_loopback

        return met if self._is_own(url) else lambda _: None

    def _trust(self, terms: "_Terms") -> ssl.SSLContext:
        """Return whom a connection trusts. Only the address itself is ever let off certificate checks."""
        address, client = self._address, self._shown(terms)
        insecure = terms.own and address.insecure
        return client_context(terms.named, ca_file=address.ca_file, client=client, insecure=insecure, certs=self._certs)

    def _shown(self, terms: "_Terms") -> tuple[str, str] | None:
        """Return the address's own certificate and key, which are shown to itself alone."""
        address = self._address
        return (address.client_cert, address.client_key) if terms.own and address.client_cert else None

    async def aclose(self) -> None:
        """Close every connection."""
        pools = [*self._pools.values(), *(pool for _, pool in self._outdated)]
        self._pools, self._outdated = {}, []
        for pool in pools:
            await pool.client.aclose()


def _is_busy(client: httpx2.AsyncClient) -> bool:
    """Tell whether an answer of *client* is still being read."""
    transport: Any = client._transport
    return any(not connection.is_idle() for connection in transport._pool.connections)


def _failed(url: str, error: httpx2.HTTPError, *, by: str) -> ExchangeFailed:
    """Say why no answer came from *url*, which was asked *by* a proxy where its address names one."""
    connecting = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.PoolTimeout)
    failure = Failure.NO_CONNECTION if isinstance(error, connecting) else Failure.NO_ANSWER
    way = f" by the proxy {by}" if by not in ("", NONE) else ""
    return ExchangeFailed(f"cannot reach {redacted(url)}{way}: {_cause(error)}", failure=failure)


def _cause(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return (
                f"there is no address for its name ({cause.strerror}); look at the name, and at the DNS of this machine"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return "it speaks no TLS; where plain HTTP is meant, write its address with http://"
    return printable(str(error)) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it came from: the library hands on the text alone."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


_NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
)
"""What OpenSSL's releases make of an answer in plain HTTP."""
