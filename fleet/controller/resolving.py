"""Asks registries what tags are now: each tag once, by HEAD, a few at a time."""

import asyncio
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from fleet.clock import Clock
from fleet.errors import AuthNeeded, BadInput, RegistryError, RegistryUnreachable
from fleet.images.reference import Reference
from fleet.registry.address import origin_address
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import CredentialSource
from fleet.registry.faults import RateLimitError
from fleet.registry.limits import RateLimit

log = logging.getLogger(__name__)

LOW_PART = 0.1
"""The part of a rate limit below which checks stop: the rest is for pulls."""
TAG_LIMIT_S = 30.0
"""The most that one tag may take, redirects, tokens and retries included."""


REGISTRIES_AT_ONCE = 8
"""How many times as many tags may be asked for as of one registry: who names servers that never answer keeps no other one's waiting."""
MOST_SILENT = 3
"""After so many tags in a row without an answer the rest of a registry's are not asked for in that round."""


class Verdict(StrEnum):
    """What came of asking for one tag."""

    RESOLVED = "resolved"
    """The registry named a digest."""
    NOT_OURS = "not_ours"
    """The registry wants other credentials, or cannot be reached from here: a host may have better luck."""
    FAILED = "failed"
    """The registry said no in a way that no other asker would change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagAnswer:
    """What a registry said of one tag."""

    image: str
    """Canonical registry/repository:tag."""
    verdict: Verdict
    digest: str = ""
    endpoint: str = ""
    reason: str = ""
    """Why there is no digest; begins with cannot."""
    limit: RateLimit | None = None
    """What the registry said of how often it may be asked, where it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How registries are asked."""

    credentials: CredentialSource
    insecure: Collection[str] = ()
    parallel: int = 8
    clock: Clock | None = None


def ask_registries(images: Iterable[str], asking: Asking) -> list[TagAnswer]:
    """Return what the origin of each of *images* says, each asked once; never raises for what a registry can do."""
    return asyncio.run(_ask_all(sorted(set(images)), asking))


async def _ask_all(images: list[str], asking: Asking) -> list[TagAnswer]:
    everywhere = asyncio.Semaphore(asking.parallel * REGISTRIES_AT_ONCE)
    bad, good = [], []
    for image in images:
        try:
            good.append((image, Reference.parse(image)))
        except BadInput as error:
            bad.append(TagAnswer(image=image, verdict=Verdict.FAILED, reason=str(error)))
    good.sort(key=lambda pair: pair[1].registry)
    rounds = [
        _ask_one_registry(registry, list(pairs), asking, everywhere)
        for registry, pairs in groupby(good, key=lambda pair: pair[1].registry)
    ]
    return bad + [answer for answers in await asyncio.gather(*rounds) for answer in answers]


async def _ask_one_registry(
    registry: str, pairs: list[tuple[str, Reference]], asking: Asking, everywhere: asyncio.Semaphore
) -> list[TagAnswer]:
    address = origin_address(registry, insecure=asking.insecure)
    client = RegistryClient(address, credentials=asking.credentials, clock=asking.clock)
    of_one = _Round(here=asyncio.Semaphore(asking.parallel), everywhere=everywhere)
    try:
        return list(await asyncio.gather(*(_ask(client, *pair, of_one) for pair in pairs)))
    finally:
        await client.aclose()


@dataclass(slots=True)
class _Round:
    """What is known of one registry while its tags are asked for."""

    here: asyncio.Semaphore
    everywhere: asyncio.Semaphore
    paused: bool = False
    """Whether its rate limit is used up: then the rest need not ask."""
    silent: int = 0
    """How many in a row had no answer."""

    def refusal(self, image: str, registry: str) -> TagAnswer | None:
        """Return why *image* is not asked for; None: it is."""
        if self.paused:
            return _no(image, Verdict.FAILED, f"cannot ask {registry} now: its rate limit is (nearly) used up")
        if self.silent >= MOST_SILENT:
            return _no(image, Verdict.NOT_OURS, f"cannot reach {registry} now: it did not answer {self.silent} times")
        return None


async def _ask(client: RegistryClient, image: str, reference: Reference, of_one: _Round) -> TagAnswer:
    """Ask for one tag."""
    async with of_one.here, of_one.everywhere:
        if (refusal := of_one.refusal(image, reference.registry)) is not None:
            return refusal
        try:
            async with asyncio.timeout(TAG_LIMIT_S):
                found = await client.resolve(reference)
        except RateLimitError as error:
            of_one.paused = True
            return _no(image, Verdict.FAILED, str(error))
        except (AuthNeeded, RegistryUnreachable) as error:
            of_one.silent += isinstance(error, RegistryUnreachable)
            return _no(image, Verdict.NOT_OURS, str(error))
        except TimeoutError:
            of_one.silent += 1
            reason = f"cannot resolve {reference.familiar}: no answer within {TAG_LIMIT_S:.0f} s"
            return _no(image, Verdict.NOT_OURS, reason)
        except (RegistryError, BadInput) as error:
            return _no(image, Verdict.FAILED, str(error))
    of_one.silent = 0
    if found.rate_limit and is_low(found.rate_limit.remaining, found.rate_limit.limit):
        of_one.paused = True
    return TagAnswer(
        image=image,
        verdict=Verdict.RESOLVED,
        digest=str(found.digest),
        endpoint=str(client.address),
        limit=found.rate_limit,
    )


def is_low(remaining: int, limit: int) -> bool:
    """Tell whether so little is left that hosts may want it all for their pulls."""
    return remaining < limit * LOW_PART


def _no(image: str, verdict: Verdict, reason: str) -> TagAnswer:
    return TagAnswer(image=image, verdict=verdict, reason=reason)
