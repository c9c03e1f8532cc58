"""Notifications: the channels, what was sent to them, and what they would be told."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from fleet.api.form import Answer, Name, Part, Request
from fleet.api.selectors import Selector
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.notify.events import USUAL
from fleet.notify.severity import Severity
from fleet.notify.template import LONGEST_TEMPLATE, LONGEST_TITLE_TEMPLATE, Format
from fleet.rollouts.windows import Day


class QuietHours(Part):
    """A time that comes again, in which a channel is told only of what cannot wait; in the words of windows of rollouts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: tuple[Day, ...] = ()
    """The local dates on which it starts, by their day of the week; empty: every day."""
    start: str = Field(max_length=5)
    """Wall-clock time, such as 22:00."""
    duration: str = Field(max_length=20)
    """Elapsed time, such as 9h."""
    tz: str = Field(default="UTC", max_length=80)
    """A name such as Europe/Berlin."""

    @property
    def said(self) -> str:
        """The hours as people read them: ``sat, sun 22:00 for 9h, Europe/Berlin``."""
        return f"{', '.join(self.days) or 'daily'} {self.start} for {self.duration}, {self.tz}"


class Passes(StrEnum):
    """What is told in quiet hours all the same."""

    ERROR = "error"
    """What a person should look at now."""
    WARNING = "warning"
    """What is an error or a warning."""
    NOTHING = "nothing"
    """Nothing but tests."""


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
    quiet: tuple[QuietHours, ...] = ()
    """When it is told only of what cannot wait."""
    quiet_passes: Passes = Passes.ERROR
    quiet_until: datetime | None = None
    """When the quiet hours end that hold now."""
    title_template: str = ""
    """Its own words for titles; empty: the usual ones."""
    body_template: str = ""
    """Its own words for what follows; empty: the usual ones."""
    format: Format = Format.TEXT
    """What its template of the body makes."""
    links: bool = False
    """Whether its messages may hold links by which whoever reads them answers."""
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

    @property
    def quiet_said(self) -> str:
        """Its quiet hours as people read them; empty: it has none."""
        hours = "; ".join(each.said for each in self.quiet)
        told = {Passes.ERROR: "errors are", Passes.WARNING: "errors and warnings are", Passes.NOTHING: "nothing is"}
        return f"quiet {hours}: {told[self.quiet_passes]} told all the same" if hours else ""


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
    held_until: datetime | None = None
    """When the quiet hours end that it waits for."""


class ChannelAnswer(Answer):
    """One channel with its newest deliveries."""

    channel: Channel
    deliveries: tuple[Delivery, ...] = ()


class ChannelAdded(Answer):
    """The new channel; the secret that was made for it is shown this one time."""

    channel: Channel
    secret: str = ""
    """What a webhook proves its events by; empty: one was given, or there is none."""


_Title = Annotated[str, Field(max_length=LONGEST_TITLE_TEMPLATE)]
_Body = Annotated[str, Field(max_length=LONGEST_TEMPLATE)]


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
    quiet: tuple[QuietHours, ...] = Field(default=(), max_length=20)
    """When it is told only of what cannot wait."""
    quiet_passes: Passes = Passes.ERROR
    title_template: _Title = ""
    """Its own words for titles, in Jinja2; empty: the usual ones."""
    body_template: _Body = ""
    """Its own words for what follows; empty: the usual ones."""
    format: Format = Format.TEXT
    """What the template of the body makes."""
    links: bool = False
    """Whether its messages may hold links by which whoever reads them answers, without a login."""


class ChangeChannel(Request):
    """Change what is given, and leave the rest."""

    events: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=100)
    severity: Severity | None = None
    selector: Selector | None = None
    """What it shall choose in place of all that it chose; an empty one is everything."""
    quiet: tuple[QuietHours, ...] | None = Field(default=None, max_length=20)
    """In place of all that it has; an empty list: none."""
    quiet_passes: Passes | None = None
    title_template: _Title | None = None
    """Empty: the usual words."""
    body_template: _Body | None = None
    """Empty: the usual words."""
    format: Format | None = None
    links: bool | None = None
    """False also takes back those that were sent."""


class TryTemplate(Request):
    """Show what a channel would get with these words; a part that is not given is as the channel has it."""

    title_template: _Title | None = None
    body_template: _Body | None = None
    format: Format | None = None


class ChannelChanged(Answer):
    """The channel as it is now."""

    channel: Channel


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
    wrong: str = ""
    """What is wrong with the template, which is not used then."""


class Previews(Answer):
    """An example of each event that the channel gets."""

    channel: str
    kind: ChannelKind
    previews: tuple[Preview, ...]
