"""The connections of one registry client: one pool per server, each with its own TLS and proxy, and time limits."""

import asyncio
import http.cookiejar
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from fleet.errors import BadInput, RegistryError
from fleet.registry.address import Address, origin_of
from fleet.registry.dial import Refusal
from fleet.registry.faults import ExchangeFailed, Failure, printable, redacted
from fleet.registry.named import NONE, proxy_url
from fleet.registry.proxies import Proxies
from fleet.registry.realm import address_of, is_for_machine_alone, is_private_to_machine, same_server
from fleet.registry.tls import DOCKER_CERTS, client_context
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
        self._clients: dict[Server, httpx2.AsyncClient] = {}
        """What was used last stands last."""
        self._asked: Counter[Server] = Counter()
        """How many requests are on their way to a server and have no answer yet."""
        self._at_home = False
        """Whether the address's own host was found on this machine itself."""

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
            request = client.build_request(method, url, headers=dict(headers), data=form)
            return await client.send(request, stream=True)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise RegistryError(f"cannot ask {redacted(url)}: the registry named an unusable URL") from error
        except httpx2.HTTPError as error:
            raise _failed(url, error, by=self._address.proxy if self._is_own(url) else "") from error

        finally:
            self._asked[server] -= 1

    async def _client(self, server: Server, url: str) -> httpx2.AsyncClient:
        if server not in self._clients:
            made = await asyncio.to_thread(self._connect, url)
            # Another task may have made one meanwhile; theirs may be in use, this one is not yet.
            self._clients.setdefault(server, made)
            await self._let_go()
        self._clients[server] = client = self._clients.pop(server)
        return client

    async def _let_go(self) -> None:
        """Close what was not used for longest, where servers name ever more others."""
        for server, client in list(self._clients.items())[:-MOST_SERVERS]:
            if not self._asked[server] and not _is_busy(client):
                del self._clients[server], self._asked[server]
                await client.aclose()

    def _connect(self, url: str) -> httpx2.AsyncClient:
        """Make the pool for the server of *url*. Only the address itself is ever let off certificate checks."""
        scheme, host, port = origin_of(url)
        own = same_server(url, self._address.ping_url)
        named = self._address.host if own else (host if port == 443 else f"{host}:{port}")
        insecure = own and self._address.insecure
        tls, proxy = scheme == "https", self._proxy(url)
        transport = httpx2.AsyncHTTPTransport(
            verify=self._trust(named, own=own, insecure=insecure) if tls else False,
            proxy=proxy,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=IDLE_S),
            trust_env=False,
        )
        # The library's pool takes a backend, and its transport has no way to hand one on.
        transport._pool._network_backend = WideBackend() if proxy else WideBackend(self._refusal(url))
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
                self._at_home = address is not None and address.is_loopback
                return address is not None and address != spelled and is_for_machine_alone(address)
        else:

            def refuses(peer: str) -> bool:
                address = address_of(peer)
                return not self._at_home and (address is None or is_private_to_machine(str(address)))

        return refuses

    def _trust(self, named: str, *, own: bool, insecure: bool) -> ssl.SSLContext:
        """Return whom a connection to *named* trusts; the address's own certificate is shown to itself alone."""
        address = self._address
        shown = (address.client_cert, address.client_key) if own and address.client_cert else None
        return client_context(named, ca_file=address.ca_file, client=shown, insecure=insecure, certs=self._certs)

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


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
    return printable(str(error)) or type(error).__name__
