"""Looks at every mirror of this host, as the centre asked: reach, TLS and its expiry, login, one manifest, freshness."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from cryptography import x509

from fleet.agent.facts import Facts
from fleet.agent.speed import Speeds
from fleet.agent.waiting import Waiting
from fleet.clock import Clock
from fleet.errors import AuthNeeded, BadInput, RegistryError, RegistryUnreachable
from fleet.gateway.upstreams import mirror_address
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import DOCKER_HUB, Reference
from fleet.mirrors.policy import GLOBAL
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mirrors.source import Endpoint, MirrorRule
from fleet.mirrors.table import MirrorTable
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import CredentialSource
from fleet.registry.faults import RateLimitError
from fleet.road.messages import Probe, Probed, Up

log = logging.getLogger(__name__)

USER_AGENT = "fleet-look"
"""By which a registry's own log tells looks at it from pulls, whose bytes the history has."""
LIMIT_S = 20.0
"""The most that one mirror may take, tokens and redirects included."""
CERTIFICATE_S = 5.0
"""The most that a look at a certificate may take."""
AT_ONCE = 8
MOST_WAITING = 20
MOST_MIRRORS = 100
"""How many mirrors one answer tells of."""


class Prober:
    """Answers one request after the other; its steps are taken by one thread."""

    def __init__(self, credentials: CredentialSource, facts: Facts, say: Callable[[Up], None], *, clock: Clock) -> None:
        """Prepare to look with *credentials*."""
        self._credentials, self._facts, self._say, self._clock = credentials, facts, say, clock
        self._speeds = Speeds(clock)
        self._waiting = Waiting[Probe](MOST_WAITING)
        self.wake: Callable[[], None] = lambda: None
        self.looked: Callable[[], None] = lambda: None
        """Told when the mirrors were looked at: what was believed of them may be asked anew."""

    def ask(self, request: Probe) -> None:
        """Let *request* be answered soon."""
        if not self._waiting.put(request):
            log.warning("request to look at mirrors forgotten", extra={"request": str(request.request)})
        self.wake()

    def step(self) -> float:
        """Answer every request that waits."""
        for request in self._waiting.taken():
            self._say(self.answer(request))
        return float("inf")

    def answer(self, request: Probe) -> Probed:
        """Look at the mirrors of the policy and of this host; a mirror that fails is told of, never raised."""
        rules = MirrorTable.of(request.mirrors, self._facts.mirrors().rules).rules[:MOST_MIRRORS]
        found = asyncio.run(self._look_at_all(rules, request.images))
        for probe in found:
            if probe.state is not ProbeState.OK:
                log.warning("mirror not well", extra={"mirror": probe.mirror, "reason": probe.reason})
        self.looked()
        return Probed(request=request.request, mirrors=found)

    async def _look_at_all(self, rules: Sequence[MirrorRule], images: Mapping[str, str]) -> tuple[MirrorProbe, ...]:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(rule: MirrorRule) -> MirrorProbe:
            async with limit:
                return await self._look_at(rule, images)

        return tuple(await asyncio.gather(*(one(rule) for rule in rules)))

    async def _look_at(self, rule: MirrorRule, images: Mapping[str, str]) -> MirrorProbe:
        reference = _image_for(rule, images)
        begun = self._clock.monotonic()
        state, reason, digest = await self._asked(rule.endpoint, reference)
        taken_ms = round((self._clock.monotonic() - begun) * 1000)
        speed = await self._speed(rule.endpoint, reference, digest) if reference and digest else None
        origin = images.get(str(reference), "") if reference else ""
        if digest and origin and digest != origin:
            state, reason = ProbeState.STALE, f"it has {digest[:19]} for {reference}, the origin {origin[:19]}"
        expires = await asyncio.to_thread(_not_after, rule.endpoint)
        return MirrorProbe(
            mirror=str(rule.endpoint),
            registry=rule.for_registry,
            state=state,
            reason=reason,
            reference=str(reference or ""),
            digest=digest,
            origin_digest=origin,
            duration_ms=taken_ms,
            tls_not_after=expires,
            bytes_per_s=speed,
        )

    async def _speed(self, endpoint: Endpoint, reference: Reference, digest: str) -> int | None:
        facts = self._facts.ask()
        if facts is None:
            return None
        platform = Platform.parse(f"{facts.os}/{facts.architecture}")
        client = self._client(endpoint, reference)
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._speeds.measure(str(endpoint), client, reference, Digest.parse(digest), platform)
        except TimeoutError:
            return None
        finally:
            await client.aclose()

    async def _asked(self, endpoint: Endpoint, reference: Reference | None) -> tuple[ProbeState, str, str]:
        """Return how it stands, why, and the digest that it names."""
        client = self._client(endpoint, reference or Reference.parse("library/none"))
        try:
            async with asyncio.timeout(LIMIT_S):
                if reference is not None:
                    return ProbeState.OK, "", str((await client.resolve(reference)).digest)
                status = await client.ping()
        except TimeoutError:
            return ProbeState.DOWN, f"cannot reach {endpoint}: no answer within {LIMIT_S:.0f} s", ""
        except (AuthNeeded, RegistryUnreachable, RegistryError, BadInput) as error:
            return _state_of(error), str(error), ""
        finally:
            await client.aclose()
        if status in (401, 403):
            return ProbeState.UNAUTHORIZED, f"cannot read {client.address.ping_url}: {status}", ""
        return (ProbeState.OK, "", "") if status == 200 else (ProbeState.DOWN, f"status {status} to /v2/", "")

    def _client(self, endpoint: Endpoint, reference: Reference) -> RegistryClient:
        """Return who asks *endpoint* for *reference*; its owner closes it."""
        return RegistryClient(
            mirror_address(endpoint, reference),
            credentials=self._credentials,
            clock=self._clock,
            user_agent=USER_AGENT,
        )


def _image_for(rule: MirrorRule, images: Mapping[str, str]) -> Reference | None:
    """Return an image of the registry that *rule* stands in for; a global mirror is asked as Docker Hub's."""
    registry = DOCKER_HUB if rule.for_registry == GLOBAL else rule.for_registry
    for image in images:
        reference = Reference.parse(image)
        if reference.registry == registry:
            return reference
    return None


def _state_of(error: Exception) -> ProbeState:
    if isinstance(error, RateLimitError):
        return ProbeState.LIMITED
    if isinstance(error, AuthNeeded):
        return ProbeState.UNAUTHORIZED
    if isinstance(error, RegistryUnreachable):
        # The HTTP library hands the TLS library's words on and no type of its own.
        return ProbeState.TLS if "certificate" in str(error).lower() else ProbeState.DOWN
    return ProbeState.MISSING if isinstance(error, RegistryError) and error.status == 404 else ProbeState.DOWN


def _not_after(endpoint: Endpoint) -> datetime | None:
    """Return when the certificate of *endpoint* expires, trusted or not; None where it shows none."""
    if endpoint.scheme != "https":
        return None
    host, port = _host_and_port(endpoint.host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent over this connection: an expired certificate is just what is looked for.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=CERTIFICATE_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            raw = tls.getpeercert(binary_form=True)
            return x509.load_der_x509_certificate(raw).not_valid_after_utc if raw else None
    except (OSError, ValueError):
        return None


def _host_and_port(host: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (not name.count(":") or name.endswith("]")):
        return name.strip("[]"), int(port)
    return host.strip("[]"), 443
