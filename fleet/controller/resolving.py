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
    limit = asyncio.Semaphore(asking.parallel)
    bad, good = [], []
    for image in images:
        try:
            good.append((image, Reference.parse(image)))
        except BadInput as error:
            bad.append(TagAnswer(image=image, verdict=Verdict.FAILED, reason=str(error)))
    good.sort(key=lambda pair: pair[1].registry)
    rounds = [
        _ask_one_registry(registry, list(pairs), asking, limit)
        for registry, pairs in groupby(good, key=lambda pair: pair[1].registry)
    ]
    return bad + [answer for answers in await asyncio.gather(*rounds) for answer in answers]


async def _ask_one_registry(
    registry: str, pairs: list[tuple[str, Reference]], asking: Asking, limit: asyncio.Semaphore
) -> list[TagAnswer]:
    address = origin_address(registry, insecure=asking.insecure)
    client = RegistryClient(address, credentials=asking.credentials, clock=asking.clock)
    pause = asyncio.Event()
    try:
        return list(await asyncio.gather(*(_ask(client, *pair, limit, pause) for pair in pairs)))
    finally:
        await client.aclose()


async def _ask(
    client: RegistryClient, image: str, reference: Reference, limit: asyncio.Semaphore, pause: asyncio.Event
) -> TagAnswer:
    """Ask for one tag. *pause* is set once the registry's rate limit is used up: then the rest need not ask."""
    async with limit:
        if pause.is_set():
            return _no(
                image, Verdict.FAILED, f"cannot ask {reference.registry} now: its rate limit is (nearly) used up"
            )
        try:
            async with asyncio.timeout(TAG_LIMIT_S):
                found = await client.resolve(reference)
        except RateLimitError as error:
            pause.set()
            return _no(image, Verdict.FAILED, str(error))
        except (AuthNeeded, RegistryUnreachable) as error:
            return _no(image, Verdict.NOT_OURS, str(error))
        except TimeoutError:
            reason = f"cannot resolve {reference.familiar}: no answer within {TAG_LIMIT_S:.0f} s"
            return _no(image, Verdict.NOT_OURS, reason)
        except (RegistryError, BadInput) as error:
            return _no(image, Verdict.FAILED, str(error))
    if found.rate_limit and is_low(found.rate_limit.remaining, found.rate_limit.limit):
        pause.set()
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
