"""One exchange with a registry: proved where it asks for that, redirected where it sends on, bounded in time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urljoin

import httpx2

from fleet.errors import FleetError, RegistryError
from fleet.registry.address import Address, Kind
from fleet.registry.answer import Answer, answer_of
from fleet.registry.auth import Authenticator
from fleet.registry.connections import Connections
from fleet.registry.faults import ExchangeFailed, Failure, redacted
from fleet.registry.realm import may_ask, same_server

Method = Literal["GET", "HEAD"]
MOST_REDIRECTS = 5
"""Registries send to a store once, some by way of a second name; more is a loop."""
_BAD_REQUEST = 400
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for, apart from where."""

    repository: str
    kind: Kind | None
    """None for ``/v2/`` itself."""
    tail: str

    def path(self, address: Address) -> str:
        """Return the repository as *address* names it, empty for ``/v2/`` itself."""
        return address.path_of(self.repository) if self.kind else ""

    def url(self, address: Address) -> str:
        """Return where *address* has it."""
        return address.url(self.repository, self.kind, self.tail) if self.kind else address.ping_url


PING = Target("", None, "")
"""``/v2/`` itself."""


class Exchange:
    """Sends requests to one address, and knows how it wants to be asked; belongs to one event loop."""

    def __init__(self, address: Address, *, connections: Connections, auth: Authenticator, first_byte_s: float) -> None:
        self.address = address
        """Where to ask; where plain http is allowed, the first answer settles the scheme."""
        self._as_given = address
        self._answered = not address.http_fallback
        self._connections = connections
        self._auth = auth
        self._first_byte_s = first_byte_s

    @asynccontextmanager
    async def open(self, method: Method, target: Target, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """Ask for *target* and yield the answer; raise ExchangeFailed or RegistryError where none comes."""
        try:
            async with asyncio.timeout(self._first_byte_s):
                response = await self._by_scheme(method, target, headers)
        except TimeoutError as error:
            where = redacted(target.url(self.address))
            text = f"cannot get an answer from {where} within {self._first_byte_s:g} s"
            raise ExchangeFailed(text, failure=Failure.NO_ANSWER) from error
        except (FleetError, OSError):
            raise
        except Exception as error:
            # Whatever a server thought of that neither we nor the HTTP library did: nobody above may fall over it.
            text = f"cannot understand what {redacted(target.url(self.address))} answered ({type(error).__name__})"
            raise RegistryError(text) from error
        url = str(response.url)
        elsewhere = "" if same_server(url, self.address.ping_url) else response.url.netloc.decode("ascii")
        try:
            yield answer_of(response, redirected_to=elsewhere)
        finally:
            await response.aclose()

    async def _by_scheme(self, method: Method, target: Target, headers: Mapping[str, str]) -> httpx2.Response:
        """Ask by the address's scheme; where plain http is allowed and nothing has answered yet, by http second."""
        asked, path = self.address, target.path(self.address)
        try:
            response = await self._authorised(method, target.url(asked), path, headers)
            if response.status_code == _BAD_REQUEST and asked != self._as_given:
                # What servers that speak TLS answer to whoever does not: this one has learnt it since.
                await response.aclose()
                self._forget_scheme()
                return await self._by_scheme(method, target, headers)
        except ExchangeFailed as error:
            # Another request, begun at the same time, may have found out meanwhile that plain http is spoken here.
            settled = self._answered and self.address == asked
            if settled or asked.scheme == "http" or error.failure is not Failure.NO_CONNECTION:
                self._forget_scheme()
                raise
            plain = replace(asked, scheme="http")
            response = await self._authorised(method, target.url(plain), path, headers)
            self.address = plain
        self._answered = True
        return response

    def _forget_scheme(self) -> None:
        """Where plain http is spoken, try TLS first again: an agent lives for longer than a registry stays as it is."""
        if self.address != self._as_given:
            self.address, self._answered = self._as_given, False

    async def _authorised(self, method: Method, url: str, path: str, headers: Mapping[str, str]) -> httpx2.Response:
        """Ask with the proof that served before; where the registry wants another, get it and ask once more."""
        shown = self._auth.known(path)
        response = await self._followed(method, url, headers, shown)
        if response.status_code != 401 or not same_server(str(response.url), url):
            return response
        try:
            proof = await self._auth.renew(url, path, response.headers.get_list("www-authenticate"), shown)
        except BaseException:
            await response.aclose()
            raise
        if proof is None:
            return response
        await response.aclose()
        return await self._followed(method, url, headers, proof)

    async def _followed(
        self, method: Method, url: str, headers: Mapping[str, str], proof: str | None
    ) -> httpx2.Response:
        """Ask, and go where the answer sends, at most MOST_REDIRECTS times; the proof stays with its server."""
        for _ in range(MOST_REDIRECTS + 1):
            sent = {**headers, "Authorization": proof} if proof else headers
            response = await self._connections.send(method, url, sent)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            await response.aclose()
            following = _target_of(url, location)
            if not same_server(url, following):
                proof = None
            url = following
        raise RegistryError(f"cannot follow more than {MOST_REDIRECTS} redirects from {self.address}")


def _target_of(url: str, location: str) -> str:
    """Return the URL that *location* sends to; raise RegistryError for one that must not be followed."""
    try:
        following = urljoin(url, location)
        allowed = may_ask(url, following)
    except ValueError:
        allowed = False
    if not allowed:
        raise RegistryError(f"cannot follow the redirect of {redacted(url)}: it leads where it may not lead")
    return following
