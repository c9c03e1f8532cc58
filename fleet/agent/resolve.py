"""Asks a registry, as this host, which digest a tag has: for all hosts, where the centre itself is refused."""

import asyncio
import logging
from collections.abc import Callable

from fleet.agent.facts import Facts
from fleet.agent.waiting import Waiting
from fleet.clock import Clock
from fleet.errors import AuthNeeded, BadInput, RegistryError, RegistryUnreachable
from fleet.images.reference import Reference
from fleet.registry.address import origin_address
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import CredentialSource
from fleet.road.messages import Resolve, Resolved, Up

log = logging.getLogger(__name__)

LIMIT_S = 30.0
"""The most that one tag may take, tokens and redirects included."""
MOST_WAITING = 200
"""Further requests are forgotten: the centre asks again, and another host where it must."""


class Resolver:
    """Answers one request after the other; its steps are taken by one thread, so that no pull keeps them waiting."""

    def __init__(self, credentials: CredentialSource, facts: Facts, say: Callable[[Up], None], *, clock: Clock) -> None:
        """Prepare to ask with *credentials*."""
        self._credentials, self._facts, self._say, self._clock = credentials, facts, say, clock
        self._waiting = Waiting[Resolve](MOST_WAITING)
        self.wake: Callable[[], None] = lambda: None

    def ask(self, request: Resolve) -> None:
        """Let *request* be answered soon."""
        if not self._waiting.put(request):
            log.warning("request to resolve forgotten", extra={"reference": request.reference})
        self.wake()

    def step(self) -> float:
        """Answer every request that waits."""
        for request in self._waiting.taken():
            self._say(self.answer(request))
        return float("inf")

    def answer(self, request: Resolve) -> Resolved:
        """Return what the registry says; a failure is a reason, never raised."""
        try:
            return asyncio.run(self._asked(request))
        except TimeoutError:
            reason = f"cannot resolve {request.reference}: no answer within {LIMIT_S:.0f} s"
        except (AuthNeeded, RegistryUnreachable, RegistryError, BadInput) as error:
            reason = str(error)
        log.warning("tag not resolved", extra={"reference": request.reference, "reason": reason})
        return Resolved(request=request.request, reference=request.reference, reason=reason)

    async def _asked(self, request: Resolve) -> Resolved:
        reference = Reference.parse(request.reference)
        address = origin_address(reference.registry, insecure=self._facts.mirrors().insecure)
        client = RegistryClient(address, credentials=self._credentials, clock=self._clock)
        try:
            async with asyncio.timeout(LIMIT_S):
                found = await client.resolve(reference)
        finally:
            await client.aclose()
        return Resolved(
            request=request.request,
            reference=request.reference,
            digest=str(found.digest),
            endpoint=str(client.address),
        )
