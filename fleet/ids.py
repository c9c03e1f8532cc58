"""Identifiers: UUIDv7, made by the centre alone, so that sorting by id is sorting by the centre's time (RFC 9562)."""

import sys
from typing import cast
from uuid import UUID

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid6 import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7. Only the centre may call this: a host's clock never makes the id of a fact."""
    return UUID(int=cast(UUID, uuid7()).int)


def short(id: UUID) -> str:
    """Return the last 8 hex digits: the first 12 are time, so that prefixes of neighbours collide."""
    return id.hex[-8:]
