"""Looks at every mirror of this host, as the centre asked: reach, TLS and its expiry, login, one manifest, freshness."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

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
from fleet.registry.certificate import not_after
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import CredentialSource
from fleet.registry.faults import RateLimitError
from fleet.registry.named import login_remedy, proxy_url
from fleet.registry.proxies import Proxies
from fleet.road.messages import Probe, Probed, Up

log = logging.getLogger(__name__)

USER_AGENT = "fleet-look"
"""By which a registry's own log tells looks at it from pulls, whose bytes the history has."""
LIMIT_S = 20.0
"""The most that one mirror may take, tokens and redirects included."""
AT_ONCE = 8
MOST_WAITING = 20
MOST_MIRRORS = 100
"""How many mirrors one answer tells of."""
_ANY = Reference.parse("library/none")
"""Asked for where no image is: it is only about the mirror."""


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
        client = self._client(endpoint, reference or _ANY)
        try:
            async with asyncio.timeout(LIMIT_S):
                if reference is not None:
                    return ProbeState.OK, "", str((await client.resolve(reference)).digest)
                status = await client.ping()
        except TimeoutError:
            return ProbeState.DOWN, f"cannot reach {endpoint}: no answer within {LIMIT_S:.0f} s", ""
        except (AuthNeeded, RegistryUnreachable, RegistryError, BadInput) as error:
            return _state_of(error), str(error), ""
        except Exception as error:
            # One mirror's answer must not keep the host from telling of the others.
            log.exception("answer of a mirror cannot be understood", extra={"mirror": str(endpoint)})
            return ProbeState.DOWN, f"cannot understand what {endpoint} answers ({type(error).__name__})", ""
        finally:
            await client.aclose()
        if status in (401, 403):
            remedy = login_remedy(client.address)
            return ProbeState.UNAUTHORIZED, f"cannot read {client.address.ping_url}: {status}; {remedy}", ""
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
    """Return when the certificate of *endpoint* expires; None where it shows none, or the way there is not known."""
    url = mirror_address(endpoint, _ANY).ping_url
    try:
        proxy = proxy_url(endpoint.proxy) if endpoint.proxy else Proxies.from_environment().for_url(url)
    except BadInput:
        return None  # the look itself tells
    return not_after(url, proxy)
