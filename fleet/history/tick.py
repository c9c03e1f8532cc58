"""What the planner does in SQL, a few seconds apart: advance rollouts, expire commands, hand out what is to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fleet.history.database import Database
from fleet.road.messages import Down


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message that is to be signed and sent now; others keep their hands off it for a while."""

    host_id: str
    """In hex."""
    message: Down
    token: str
    """What :func:`mark_sent` knows it by."""


def active_rollouts(db: Database) -> list[UUID]:
    """Return the rollouts that have not ended, oldest first."""
    raise NotImplementedError


def advance_rollout(db: Database, rollout_id: UUID) -> bool:
    """Carry out what the rollout does next, until there is nothing more now; tell whether anything changed.

    One transaction. False also where another planner is at it.
    """
    raise NotImplementedError


def expire(db: Database) -> int:
    """End the commands whose time is over, with what follows for their hosts; return how many."""
    raise NotImplementedError


def due_messages(db: Database, limit: int = 500) -> list[Outgoing]:
    """Return messages to send now, at most *limit*, and lease them for half a minute.

    Every order and every go is looked at once more: it goes out only while its rollout runs and is not held. What was
    not marked as sent is due again after the lease, so that a crash loses nothing; each message is harmless twice.
    """
    raise NotImplementedError


def mark_sent(db: Database, outgoing: Sequence[Outgoing]) -> None:
    """Write down that these were put into the queues of their hosts."""
    raise NotImplementedError
