"""Receivers: where registries say that something was pushed, so that it is checked at once."""

from datetime import datetime
from uuid import UUID

from fleet.api.form import Answer, Name, Part, Request


class Receiver(Part):
    """One receiver, without its secret."""

    id: UUID
    name: str
    path: str = ""
    """Where it is spoken to, at this server's port."""
    registry: str = ""
    """The registry that it speaks of, as hosts name it; empty: the one that each body names."""
    created_by: str = ""
    created_at: datetime
    last_used_at: datetime | None = None
    """When it was last spoken to, to the minute, by who knew the secret."""
    last_heard: str = ""
    """What it heard then."""


class Receivers(Answer):
    """Every receiver, by name."""

    receivers: tuple[Receiver, ...]


class AddReceiver(Request):
    """Add a receiver."""

    name: Name
    registry: str = ""
    """The registry that it speaks of, ``host[:port]`` as hosts name it; empty: the one that each body names."""


class ReceiverAdded(Answer):
    """The new receiver; its secret is shown this one time."""

    receiver: Receiver
    secret: str


class PushHeard(Answer):
    """What a registry said is taken."""

    images: int
    """How many tags that the fleet runs are asked for soon because of it."""
