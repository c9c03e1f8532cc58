"""What hosts wrote, taken into the history: a batch is one transaction, and taking it twice changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.database import Database
from fleet.history.inbox_lock import InboxLock as InboxLock
from fleet.history.inbox_lock import lock as lock
from fleet.road.messages import Up


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A message whose signature and shape were proved."""

    id: UUID
    """The message's own id (jti)."""
    host_id: str
    """Who sent it, in hex."""
    message: Up
    received: datetime
    """When the inbox saw it, by the centre's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """What cannot be trusted or understood."""

    raw: bytes
    reason: str
    host_id: str | None = None
    """Who sent it, in hex, where the signature proved that."""


Taken = Good | Bad


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeResult:
    """What became of a batch."""

    taken: int
    """Messages that were taken, now or before."""
    refused: int
    """Messages that are in ``refused`` now."""
    repeated: int = 0
    """Those of *taken* that had been taken before."""


def take(db: Database, lock: InboxLock, messages: Sequence[Taken]) -> TakeResult:
    """Take a batch, with all that follows from it; raises Refused where the lock was lost, DatabaseUnreachable.

    A message that cannot be written is kept in ``refused`` and spoils no other.
    """
    raise NotImplementedError
