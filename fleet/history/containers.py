"""What runs on the hosts, by their latest snapshots."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.database import Database
from fleet.rollouts.selector import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRow:
    """One container of one host."""

    host_id: UUID
    host: str
    """The host's name."""
    id: str
    name: str
    reference: str
    """As the user wrote it."""
    image: str
    """The canonical registry/repository:tag that it follows; empty where it follows none."""
    image_id: str
    digests: tuple[str, ...]
    platform: str
    state: str
    health: str
    labels: dict[str, str]
    local_build: bool
    first_seen_at: datetime
    seen_at: datetime


EVERYTHING = Selector()


def containers(db: Database, selector: Selector = EVERYTHING) -> list[ContainerRow]:
    """Return the containers that *selector* takes, by host and name."""
    raise NotImplementedError
