"""The centre's keys in the state directory: the planner signs with the private one, the others hand out the public."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet.errors import BadInput, Refused
from fleet.road.keys import PublicKey, SigningKey
from fleet.updates.files import write_atomically

PRIVATE = "centre.key"
"""Mode 0600; read by the planner alone."""
PUBLIC = "centre.pub"
"""A JSON list of the public keys that may sign orders: one, or two while the key is changed."""


def signing_key(state: Path) -> SigningKey:
    """Return the key that orders are signed with, made at the first start; and publish its public half.

    Only the planner may call this. Planners on several machines must be given the same file. Raise BadInput where the
    file is broken or readable by others.
    """
    with _alone(state):
        private = state / PRIVATE
        if not private.exists():
            SigningKey.generate().save(private)
        key = SigningKey.load(private)
        if key.kid not in {public.kid for public in _published(state)}:
            _publish(state, (key.public,))
        return key


def public_keys(state: Path) -> tuple[PublicKey, ...]:
    """Return the public keys that orders may be signed with, for join files; raise Refused before the planner's first
    start.
    """
    keys = _published(state)
    if not keys:
        raise Refused(f"cannot read the centre's public key in {state}: the planner has not started yet; try again")
    return keys


def _published(state: Path) -> tuple[PublicKey, ...]:
    file = state / PUBLIC
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return tuple(PublicKey.parse(json.dumps(row)) for row in rows)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as e:
        raise BadInput(f"cannot read {file}: {type(e).__name__}; remove it, and the planner writes it anew") from e


def _publish(state: Path, keys: tuple[PublicKey, ...]) -> None:
    text = json.dumps([json.loads(str(key)) for key in keys]) + "\n"
    write_atomically(state / PUBLIC, text.encode(), mode=0o644)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    # Two planners that start together must not make two keys.
    with (state / f".{PRIVATE}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
