"""Proves who Fleet is to one registry: Basic, or a token from the realm that the registry names."""

import asyncio
import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2

from fleet.clock import Clock
from fleet.errors import RegistryError
from fleet.registry.answer import answer_of
from fleet.registry.challenge import Challenge, parse_challenges, pull_scope
from fleet.registry.connections import Connections
from fleet.registry.credentials import Credentials, CredentialSource
from fleet.registry.faults import RateLimitError, redacted
from fleet.registry.limits import retry_after_s
from fleet.registry.realm import may_ask, may_see_credentials

CLIENT_ID = "fleet"
"""The name under which OAuth 2 realms keep an identity token's use."""
DEFAULT_LIFE_S = 60.0
"""How long a token lives whose realm does not say (distribution's token specification)."""
EARLY_S = 10.0
"""A token is renewed so long before its end, so that it does not end under way."""
ANSWER_CAP_BYTES = 256 * 1024
"""The largest known token answers are some 20 KiB."""
_USABLE = re.compile(r"[\x21-\x7e]+")
_NO_OAUTH = frozenset({400, 401, 404, 405})
"""What realms that know no POST answer to it (ACR, Artifactory, GCR differ)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """An Authorization header's value, and until when on the monotonic clock it holds."""

    value: str
    until: float


class Authenticator:
    """Keeps what proves who Fleet is at one address, by repository; belongs to one event loop."""

    def __init__(
        self,
        host: str,
        *,
        credentials: CredentialSource,
        connections: Connections,
        clock: Clock,
        trusted_realms: Collection[str] = (),
    ) -> None:
        """Take the *host* whose credentials are used, and further hosts whose realms may see them."""
        self._host = host
        self._credentials = credentials
        self._connections = connections
        self._clock = clock
        self._trusted_realms = trusted_realms
        self._proofs: dict[str, _Proof] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    def known(self, path: str) -> str | None:
        """Return the Authorization that served for *path* before and still holds, None where there is none."""
        proof = self._proofs.get(path)
        return proof.value if proof and self._clock.monotonic() < proof.until else None

    async def renew(self, url: str, path: str, challenges: Iterable[str], refused: str | None) -> str | None:
        """Answer the *challenges* (``WWW-Authenticate`` values) that *url* gave; *refused* was shown and not enough.

        Return the Authorization to try next, None where there is nothing better to show. Raise ExchangeFailed where
        the realm cannot be reached, RegistryError where it fails.
        """
        async with self._asking.setdefault(path, asyncio.Lock()):
            known = self.known(path)
            if known and known != refused:
                return known
            proof = await self._prove(url, path, parse_challenges(challenges))
            if proof is None or proof.value == refused:
                self._proofs.pop(path, None)
                return None
            self._proofs[path] = proof
            return proof.value

    async def _prove(self, url: str, path: str, challenges: Iterable[Challenge]) -> _Proof | None:
        credentials = await self._credentials.for_host(self._host)
        by_scheme = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
        if "bearer" in by_scheme:
            return await self._bearer(url, path, by_scheme["bearer"], credentials)
        if "basic" in by_scheme and credentials and credentials.username:
            return _Proof(value=credentials.basic, until=float("inf"))
        return None

    async def _bearer(
        self, url: str, path: str, challenge: Challenge, credentials: Credentials | None
    ) -> _Proof | None:
        if credentials and credentials.registry_token:
            if not _USABLE.fullmatch(credentials.registry_token):
                raise RegistryError(f"cannot use the registry token that this host has for {self._host}: it is none")
            return _Proof(value=f"Bearer {credentials.registry_token}", until=float("inf"))
        realm = challenge.parameters.get("realm", "")
        if not may_ask(url, realm):
            raise RegistryError(f"cannot ask {redacted(realm)} for a token: {self._host} may not name such a realm")
        if credentials and not may_see_credentials(url, realm, self._trusted_realms):
            log.warning("realm not trusted with credentials", extra={"registry": self._host, "realm": redacted(realm)})
            credentials = None
        query = _query(challenge, path)
        if credentials and credentials.identity_token:
            proof = await self._by_identity(realm, query, credentials.identity_token)
            if proof or not credentials.username:
                return proof
        return await self._by_get(realm, query, credentials)

    async def _by_get(self, realm: str, query: Mapping[str, str], credentials: Credentials | None) -> _Proof | None:
        headers = {"Authorization": credentials.basic} if credentials else {}
        if not query:
            return await self._proof(await self._connections.send("GET", realm, headers))
        join = "&" if "?" in realm else "?"
        return await self._proof(await self._connections.send("GET", f"{realm}{join}{urlencode(query)}", headers))

    async def _by_identity(self, realm: str, query: Mapping[str, str], token: str) -> _Proof | None:
        form = {**query, "grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": token}
        return await self._proof(await self._connections.send("POST", realm, {}, form), denied=_NO_OAUTH)

    async def _proof(
        self, response: httpx2.Response, *, denied: Collection[int] = frozenset({401, 403})
    ) -> _Proof | None:
        """Read a realm's answer; None where it denies a token."""
        answer = answer_of(response)
        try:
            if answer.status == 429:
                wait_s = retry_after_s(answer.headers, self._clock.now())
                raise RateLimitError(f"cannot ask {answer.url} so often", retry_after_s=wait_s)
            if answer.status in denied:
                return None
            if answer.status != 200:
                raise RegistryError(f"cannot get a token from {answer.url}: {answer.status}", status=answer.status)
            return self._read(answer.url, await answer.read(ANSWER_CAP_BYTES))
        finally:
            await response.aclose()

    def _read(self, url: str, content: bytes) -> _Proof:
        token, life_s = _token(content)
        if not _USABLE.fullmatch(token):
            raise RegistryError(f"cannot use the token of {url}: its answer holds none")
        return _Proof(value=f"Bearer {token}", until=self._clock.monotonic() + life_s - EARLY_S)


def _query(challenge: Challenge, path: str) -> dict[str, str]:
    """Return the realm's parameters by distribution's token specification."""
    query = {"service": challenge.parameters.get("service", ""), "scope": pull_scope(challenge, path)}
    return {name: value for name, value in query.items() if value}


def _token(content: bytes) -> tuple[str, float]:
    """Return the token of a realm's answer and its life in seconds; an empty token where there is none."""
    try:
        document: Any = json.loads(content)
        token = document.get("token") or document.get("access_token") or ""
        life = document.get("expires_in")
        return str(token), float(life) if life is not None else DEFAULT_LIFE_S
    except (ValueError, OverflowError, AttributeError, TypeError, RecursionError):
        return "", 0.0
