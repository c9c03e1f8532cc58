"""Notifications: the channels, what was sent to them, and what they would be told."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Name, Part, Request
from fleet.api.selectors import Selector
from fleet.history.words import ChannelKind, DeliveryState
from fleet.notify.events import USUAL
from fleet.notify.severity import Severity


class Channel(Part):
    """One channel, without its secrets."""

    id: UUID
    name: str
    kind: ChannelKind
    state: str
    """``ok``, ``new`` (nothing was sent yet), ``failing``, or ``gone`` (nothing is sent any more)."""
    address: str
    """What may be shown of its URL."""
    events: tuple[str, ...]
    severity: Severity
    selector: dict[str, Any] = Field(default_factory=dict)
    waiting: int
    """How many events wait to be sent."""
    given_up: int
    """How many were given up."""
    sent_at: datetime | None = None
    """When it last took something."""
    failing_since: datetime | None = None
    reason: str = ""
    """Why sending last failed."""
    again_at: datetime | None = None
    """When it is tried again; None: as soon as there is something."""
    created_by: str = ""
    created_at: datetime


class Channels(Answer):
    """Every channel, by name."""

    channels: tuple[Channel, ...]


class Delivery(Part):
    """One event on its way to a channel."""

    event_id: UUID
    type: str
    severity: Severity
    title: str
    """What happened, in a line."""
    state: DeliveryState
    tries: int
    reason: str = ""
    created_at: datetime
    until: datetime
    """Until when it is tried."""
    ended_at: datetime | None = None


class ChannelAnswer(Answer):
    """One channel with its newest deliveries."""

    channel: Channel
    deliveries: tuple[Delivery, ...] = ()


class ChannelAdded(Answer):
    """The new channel; the secret that was made for it is shown this one time."""

    channel: Channel
    secret: str = ""
    """What a webhook proves its events by; empty: one was given, or there is none."""


class AddChannel(Request):
    """Add a channel."""

    name: Name
    url: str
    """``https://...`` (or ``http``): a webhook; any other scheme: a URL of Apprise. It is a secret."""
    secret: str = ""
    """What a webhook proves its events by; empty: one is made."""
    events: tuple[str, ...] = Field(default=USUAL, min_length=1, max_length=100)
    """Types of events and codes of conditions, with ``*`` and ``?``."""
    severity: Severity = Severity.INFO
    """The least urgent that it gets."""
    selector: Selector = Selector()
    """Of which hosts, containers and images; empty: of all."""


class TestAsked(Answer):
    """A test is on its way; its delivery tells what came of it."""

    event_id: UUID


class Retried(Answer):
    """What was given up waits again."""

    deliveries: int


class Preview(Part):
    """One event as the channel would get it."""

    type: str
    severity: Severity
    title: str = ""
    """Of a message in words."""
    body: str
    """The words, or the CloudEvent."""


class Previews(Answer):
    """An example of each event that the channel gets."""

    channel: str
    kind: ChannelKind
    previews: tuple[Preview, ...]
