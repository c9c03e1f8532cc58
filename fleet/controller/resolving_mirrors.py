"""Asks mirrors what tags are now, where their origin cannot be asked and the fleet's policy believes mirrors."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fleet.controller.resolving import TAG_LIMIT_S, Asking, TagAnswer, Verdict
from fleet.errors import AuthNeeded, BadInput, RegistryError, RegistryUnreachable
from fleet.gateway.upstreams import mirror_address
from fleet.images.reference import DOCKER_HUB, Reference
from fleet.mirrors.policy import GLOBAL
from fleet.mirrors.source import MirrorRule
from fleet.mirrors.table import MirrorTable
from fleet.registry.client import RegistryClient
from fleet.rollouts.trust import ResolvePolicy, WithoutOrigin


def resolving_mirrors(rules: Sequence[MirrorRule], registry: str) -> list[MirrorRule]:
    """Return the mirrors among *rules* that may say what a tag of *registry* has, in order.

    A global mirror counts for Docker Hub alone, unless it tells registries apart: else another registry's repository
    could be named in its place.
    """
    allowed = [rule for rule in MirrorTable.of(rules).mirrors_of(registry) if rule.resolve]
    return [rule for rule in allowed if rule.for_registry != GLOBAL or registry == DOCKER_HUB or _apart(rule)]


def ask_mirrors(
    images: Iterable[str], rules: Sequence[MirrorRule], resolve: ResolvePolicy, asking: Asking
) -> dict[str, TagAnswer]:
    """Return what mirrors say of those *images* that they are believed about, as *resolve* says; others are left out."""
    if resolve.without_origin not in (WithoutOrigin.MIRRORS, WithoutOrigin.QUORUM):
        return {}
    return asyncio.run(_ask_all(sorted(set(images)), rules, resolve, asking))


async def _ask_all(
    images: list[str], rules: Sequence[MirrorRule], resolve: ResolvePolicy, asking: Asking
) -> dict[str, TagAnswer]:
    limit = asyncio.Semaphore(asking.parallel)

    async def one(image: str) -> TagAnswer | None:
        async with limit:
            return await _ask_for(image, rules, resolve, asking)

    answers = await asyncio.gather(*(one(image) for image in images))
    return {answer.image: answer for answer in answers if answer is not None}


async def _ask_for(image: str, rules: Sequence[MirrorRule], resolve: ResolvePolicy, asking: Asking) -> TagAnswer | None:
    reference = Reference.parse(image)
    mirrors = resolving_mirrors(rules, reference.registry)
    if resolve.without_origin is WithoutOrigin.MIRRORS:
        for rule in mirrors:
            if digest := await _digest(rule, reference, asking):
                return _believed(image, digest, str(rule.endpoint))
        return None
    digests = await asyncio.gather(*(_digest(rule, reference, asking) for rule in mirrors))
    return _agreed(image, {str(r.endpoint): digest for r, digest in zip(mirrors, digests, strict=True)}, resolve.quorum)


def _agreed(image: str, said: Mapping[str, str], quorum: int) -> TagAnswer | None:
    """Return the digest that at least *quorum* mirrors name, None where they do not agree on one alone."""
    counted = Counter(digest for digest in said.values() if digest).most_common(2)
    if not counted or counted[0][1] < quorum or (len(counted) > 1 and counted[1][1] == counted[0][1]):
        return None
    digest = counted[0][0]
    return _believed(image, digest, ", ".join(name for name, named in said.items() if named == digest))


async def _digest(rule: MirrorRule, reference: Reference, asking: Asking) -> str:
    """Return what one mirror says, empty where it says nothing."""
    address = mirror_address(rule.endpoint, reference)
    client = RegistryClient(address, credentials=asking.credentials, clock=asking.clock)
    try:
        async with asyncio.timeout(TAG_LIMIT_S):
            return str((await client.resolve(reference)).digest)
    except (AuthNeeded, RegistryUnreachable, RegistryError, BadInput, TimeoutError):
        return ""
    finally:
        await client.aclose()


def _believed(image: str, digest: str, endpoint: str) -> TagAnswer:
    return TagAnswer(image=image, verdict=Verdict.RESOLVED, digest=digest, endpoint=endpoint)


def _apart(rule: MirrorRule) -> bool:
    return rule.endpoint.ns_query or bool(rule.endpoint.repo_prefix)
