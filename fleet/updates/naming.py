"""What a pulled image is called on the engine: the user's name given, the gateway's name taken away."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from fleet.engine.protocol import Engine, EngineFacts, Inspect
from fleet.errors import BadInput, EngineError
from fleet.images.digest import Digest
from fleet.images.reference import DOCKER_HUB, Reference
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.registry.credentials import CredentialSource
from fleet.updates.stream import EnginePull

ADOPT_S = 5.0
"""The most that the engine may take to learn a digest anew: three small requests, if its registry answers at all."""

_SILENT = frozenset(
    {
        AttemptResult.TIMEOUT,
        AttemptResult.STALLED,
        AttemptResult.SLOW,
        AttemptResult.UNREACHABLE,
        AttemptResult.BREAKER_OPEN,
    }
)

log = logging.getLogger(__name__)


def by_digest(reference: Reference, digest: Digest) -> str:
    """Return the name by which an engine knows *reference* at *digest*."""
    return f"{reference.familiar_name}@{digest}"


def give_name(engine: Engine, reference: Reference, image: Inspect) -> None:
    """Give *image* the tag that the user wrote, unless it has it."""
    name, tag = reference.familiar_name, reference.tag_or_latest
    if f"{name}:{tag}" not in (image.get("RepoTags") or ()):
        engine.tag(image["Id"], name, tag)


@contextlib.contextmanager
def named_as_written(engine: Engine, written: str, image_id: str) -> Iterator[None]:
    """Let the name *written* by the user mean the image *image_id* for a moment: a container is created by a name.

    Where creating fails the name stays: the request may still be under way, and would find another image.
    """
    named = engine.image(written)
    try:
        reference = Reference.parse(written)
    except BadInput:
        reference = None
    if reference is None or reference.digest is not None or (named is not None and named["Id"] == image_id):
        yield
        return
    engine.tag(image_id, reference.familiar_name, reference.tag_or_latest)
    yield
    if named is not None:
        with contextlib.suppress(EngineError):
            engine.tag(named["Id"], reference.familiar_name, reference.tag_or_latest)


async def engine_auth(
    reference: Reference, facts: EngineFacts, credentials: CredentialSource
) -> Mapping[str, str] | None:
    """Return what the engine may show when it pulls by itself, None for nothing.

    Where it has mirrors it gets no password of Docker Hub: classic image stores show that to any mirror that asks.
    """
    if reference.registry == DOCKER_HUB and facts.mirrors:
        return None
    found = await credentials.for_host(reference.registry)
    if found is None:
        return None
    if found.identity_token:
        return {"identitytoken": found.identity_token}
    return {"username": found.username, "password": found.password}


def adopt(
    engine: Engine, reference: Reference, digest: Digest, *, platform: str = "", limit_s: float = ADOPT_S
) -> None:
    """Make a classic image store remember *digest*, by a pull that finds every byte there.

    The engine asks its own registry for that, as nobody and within *limit_s* seconds: where that fails, Fleet's own
    table knows the digest.
    """
    pull = EnginePull(engine, by_digest(reference, digest), platform=platform)
    in_time = pull.ended(limit_s)
    if not in_time:
        pull.stop()
    if not in_time or pull.error is not None:
        reason = str(pull.error or "no answer in time")
        log.info("engine did not adopt the digest", extra={"image": reference.familiar, "reason": reason})


def would_wait(engine: Engine, reference: Reference, attempts: Sequence[Attempt]) -> bool:
    """Tell whether the engine would wait for a mirror of its own that did not answer Fleet a moment ago.

    Engines have no limit of time for that, and each pull would cost all of ADOPT_S.
    """
    silent = {attempt.source for attempt in attempts if attempt.result in _SILENT}
    if not silent or reference.registry != DOCKER_HUB:
        return False
    return any(url.rstrip("/") in silent for url in engine.facts().mirrors)


def take_name(engine: Engine, name: str) -> None:
    """Remove the name *name* of an image; what fails is swept at the next start."""
    with contextlib.suppress(EngineError):
        engine.remove_image(name)


def sweep(engine: Engine, host: str) -> int:
    """Remove the names that earlier pulls through the gateway at *host* left over; return how many.

    They have a digest and no tag, and a registry's name before the repository; another program's images on the same port
    have not.
    """
    names = [name for name in engine.image_names() if name.startswith(f"{host}/")]
    tagged = {name.rpartition(":")[0] for name in names if "@" not in name}
    left = [name for name in names if "@" in name and name.partition("@")[0] not in tagged and _is_ours(name)]
    for name in left:
        take_name(engine, name)
    return len(left)


def _is_ours(name: str) -> bool:
    try:
        first, slash, _ = Reference.parse(name).repository.partition("/")
    except BadInput:
        return False
    return bool(slash) and (first in ("localhost", "long") or "." in first or "--" in first)
