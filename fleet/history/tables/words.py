"""The closed sets of words that only the history knows."""

from enum import StrEnum


class Purpose(StrEnum):
    """What a pull was made for."""

    UPDATE = "update"
    """A container is to run the image now."""
    PREFETCH = "prefetch"
    """A later wave will need it."""
    CANARY = "canary"
    """A mirror is tried out."""


class Scope(StrEnum):
    """What an API token may do; each may all that those before it may."""

    READ = "read"
    """Look at everything."""
    WRITE = "write"
    """Order updates, change schedules and policies."""
    ADMIN = "admin"
    """Add and remove hosts and tokens."""


class ScheduleAction(StrEnum):
    """What a schedule does when it is due."""

    CHECK = "check"
    """Look for newer digests."""
    TELL = "tell"
    """Draw a plan of what is known, keep it, and tell of it; nothing is asked of registries, nothing is updated."""
    APPLY = "apply"
    """Look, plan and apply."""


class PolicyKind(StrEnum):
    """To whom a policy document applies; a later one overrides an earlier one."""

    FLEET = "fleet"
    """Every host."""
    LABEL = "label"
    """Every host that has the label."""
    HOST = "host"
    """One host."""


class ChannelKind(StrEnum):
    """How a channel is told."""

    WEBHOOK = "webhook"
    """By HTTP POST of each event as a CloudEvent, signed."""
    APPRISE = "apprise"
    """By a message in words, through one of Apprise's services."""


class DeliveryState(StrEnum):
    """How far the sending of one event to one channel is."""

    WAITING = "waiting"
    """It is to be sent, perhaps again."""
    SENT = "sent"
    """The channel took it."""
    GIVEN_UP = "given_up"
    """It was tried for long enough, or the channel refused it; ``fleet notify retry`` lets it wait again."""
