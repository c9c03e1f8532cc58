"""What a workshop asks of the pull engine."""

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.updates.command import Policy
from fleet.updates.outcome import PullOutcome
from fleet.updates.pull import PullProgress


class Pulls(Protocol):
    """What brings images to the engine."""

    def open(self) -> None:
        """Begin: sweep what an earlier agent left; raise EngineUnreachable where that must wait."""
        ...

    def pull(
        self,
        reference: Reference,
        digest: Digest,
        *,
        pull_id: UUID,
        platform: Platform | None,
        policy: Policy,
        progress: Callable[[PullProgress], None],
        stop: Callable[[], bool],
        containers: Sequence[str],
    ) -> PullOutcome:
        """Bring *digest* to the engine; raise EngineUnreachable alone."""
        ...

    def forget_strangers(self) -> None:
        """Ask every global mirror for every registry again."""
        ...

    def close(self) -> None:
        """End."""
        ...
