"""What people do to rollouts: hold, release, abort."""

from uuid import UUID

from fleet.history.database import Database


def hold_rollout(db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "") -> None:
    """Pause a rollout: nothing new is sent, and what touched no container yet is called off; raises NotFound, Refused."""
    raise NotImplementedError


def release_rollout(db: Database, rollout_id: UUID, *, by: str, door: str) -> None:
    """Take away the hold of a person; raises NotFound, Refused."""
    raise NotImplementedError


def abort_rollout(db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "") -> None:
    """Stop a rollout for good: what touches containers already may end; raises NotFound, Refused."""
    raise NotImplementedError
