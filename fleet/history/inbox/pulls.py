"""Pulls and their attempts, as rows of the history; a host may tell of the pulls that its orders named, and of no other."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fleet.history.commands.ahead_mark import is_ahead
from fleet.history.commands.image_names import names_of
from fleet.history.commands.moves import Command
from fleet.history.inbox.batch import Batch
from fleet.history.sql.amounts import count, lasted, size
from fleet.history.sql.plain import name, prose
from fleet.history.tables.words import Purpose
from fleet.mirrors.attempt import MOST_HOSTS
from fleet.updates.command import split_pull_key
from fleet.updates.outcome import Attempt, PullOutcome

MOST_ATTEMPTS = 200
"""How many sources of one pull are kept."""
MOST_OFFSETS = 1000
"""How many offsets of one source are kept."""


def take_pull(batch: Batch, command: Command, pull: PullOutcome) -> bool:
    """Write down a pull, the first time it is told of; False where it is not of *command*."""
    wanted = _wanted(batch, command).get(str(pull.pull_id))
    if wanted is None:
        return False
    image, digest = wanted
    batch.pulls.append(
        {
            "id": pull.pull_id,
            "command_id": command.id,
            "host_id": command.host_id,
            "image": image,
            "digest": digest,
            "image_id": name(pull.image_id),
            "tier": pull.tier,
            "purpose": Purpose.PREFETCH if is_ahead(command.order) else Purpose.UPDATE,
            "ok": pull.ok,
            "reason": prose(pull.reason),
            "mirror": name(pull.mirror),
            "bytes": size(pull.bytes),
            "duration_ms": lasted(pull.duration_ms),
            "recorded_at": batch.now,
        }
    )
    kept = pull.attempts[:MOST_ATTEMPTS]
    batch.attempts.extend(_row(batch, command, pull.pull_id, seq, each) for seq, each in enumerate(kept))
    return True


def _row(batch: Batch, command: Command, pull_id: UUID, seq: int, attempt: Attempt) -> dict[str, Any]:
    return {
        "pull_id": pull_id,
        "seq": seq,
        "host_id": command.host_id,
        "mirror": name(attempt.source),
        "role": attempt.role,
        "result": attempt.result,
        "reason": prose(attempt.reason),
        "status": count(attempt.status),
        "bytes": size(attempt.bytes),
        "requests": count(attempt.requests),
        "failures": count(attempt.failures),
        "first_byte_ms": lasted(attempt.first_byte_ms),
        "duration_ms": lasted(attempt.duration_ms),
        "resumed_at": tuple(map(size, attempt.resumed_at[:MOST_OFFSETS])),
        "verified": attempt.verified,
        "recorded_at": batch.now,
        "redirected_to": tuple(map(name, attempt.redirected_to[:MOST_HOSTS])),
    }


def _wanted(batch: Batch, command: Command) -> Mapping[str, tuple[str, str]]:
    """Return image and digest of each pull that the command named, by its id: what the host says of them is not asked.

    Looked up once for all that a batch tells of a command: a host may have thousands of pulls, and tell of each.
    """
    known = batch.wanted.get(command.id)
    if known is None:
        known = batch.wanted[command.id] = wanted_pulls(command.order)
    return known


def wanted_pulls(order: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return image and digest of each pull that *order* named, by the id as it is written there."""
    # Texts are compared: to parse them takes longer than all else here.
    images: dict[tuple[str, str], str] = {}
    for target in order["targets"]:
        repository, image = names_of(target["reference"])
        images.setdefault((repository, target["digest"]), image)
    found: dict[str, tuple[str, str]] = {}
    for key, id in order["pull_ids"].items():
        named = split_pull_key(key)
        if named in images:
            found.setdefault(id, (images[named], named[1]))
    return found
