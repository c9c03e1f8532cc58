"""The tables of what people are told: events, conditions that hold, channels, what is to be sent to each, and links in it."""

from sqlalchemy import Index, PrimaryKeyConstraint, Table
from sqlalchemy import text as sql

from fleet.history.sql.columns import METADATA, big, document, flag, items, number, text, time, uid, words
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.notify.events import EventType
from fleet.notify.links import LinkAct
from fleet.notify.severity import Severity

_UNTAKEN = sql("taken_at IS NULL")
_UNNUMBERED = sql("number IS NULL")
_WAITS = sql(f"state = '{DeliveryState.WAITING}'")
_GIVEN_UP = sql(f"state = '{DeliveryState.GIVEN_UP}'")

events = Table(
    "events",
    METADATA,
    uid(
        "id",
        "that of the outcome or of the event of a rollout that it tells of, else a UUID of its own",
        primary_key=True,
    ),
    words("type", EventType, "what happened"),
    words("severity", Severity, "how soon a person should look"),
    text("subject", "what it is about; empty: told by what it names"),
    uid("host_id", "the host that it is about; null: none in particular", nullable=True),
    uid("rollout_id", "the rollout that it is about; null: none", nullable=True),
    document("details", "what the tables that it names do not say"),
    time("at", "when it was written, with what it tells of"),
    time("taken_at", "when the channels that want it were found; null: not yet", nullable=True),
    document("told", "the CloudEvent, as every channel gets it; null: not taken, or nobody wanted it", nullable=True),
    big("number", "its place in the feed; null: nobody who followed has seen it yet", nullable=True),
    Index("ix_events_untaken", "at", sqlite_where=_UNTAKEN, postgresql_where=_UNTAKEN),
    Index(None, "at"),
    Index("ix_events_unnumbered", "at", sqlite_where=_UNNUMBERED, postgresql_where=_UNNUMBERED),
    Index("uq_events_number", "number", unique=True),
    comment="what happened and people are told of; pruned",
)

conditions = Table(
    "conditions",
    METADATA,
    text("code", "which condition of the catalogue", primary_key=True),
    text("subject", "the host, image, mirror or process", primary_key=True),
    words("severity", Severity, "how soon a person should look"),
    text("title", "what it is called"),
    text("text", "what was found when it was raised"),
    text("remedy", "what to do about it"),
    time("since", "since when it is known to hold; null: not known", nullable=True),
    time("raised_at", "when it was told"),
    time("away_since", "since when it holds no more, which is told after a while; null: it holds", nullable=True),
    number("times", "how often it was told that it began, each soon after the last; null: once", nullable=True),
    time("ended_at", "when its end was told; kept for a while to know it again; null: not yet", nullable=True),
    comment="the conditions that were told, until their end was some time ago",
)

channels = Table(
    "channels",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    text("name", "what people call it"),
    words("kind", ChannelKind, "how it is told"),
    text("address", "what may be shown of its URL"),
    text("sealed", "its URL and secret, encrypted for the notifier alone"),
    items("events", "types of events and codes of conditions that it gets, as globs"),
    words("severity", Severity, "the least urgent that it gets"),
    document("selector", "of which hosts, containers and images; empty: of all"),
    text("created_by", "who made it"),
    time("created_at", "when it was made"),
    number("failures", "how often sending failed since it last succeeded"),
    time("failing_since", "since when it does not take what it is sent; null: it does", nullable=True),
    text("reason", "why sending last failed"),
    time("due_at", "when something may be sent to it again; null: at once", nullable=True),
    time("leased_until", "until when a notifier that sends keeps others away", nullable=True),
    time("sent_at", "when it last took something", nullable=True),
    items("quiet", "windows in which it is told only of what cannot wait; null: none", nullable=True),
    text("quiet_passes", "what is as urgent as this is told all the same; empty: nothing; null: errors", nullable=True),
    text("title_template", "its own words for titles; empty or null: the usual ones", nullable=True),
    text("body_template", "its own words for what follows; empty or null: the usual ones", nullable=True),
    text("body_format", "what the latter makes: text, markdown or html; empty or null: text", nullable=True),
    number("in_a_row", "how many messages it took, each as soon as it might; null: none", nullable=True),
    flag("links", "whether its messages may hold links by which its readers answer; null: they may not", nullable=True),
    time(
        "stopped_at",
        "since when nothing is sent to it, because it said that it is gone; null: it is not",
        nullable=True,
    ),
    Index("uq_channels_name", "name", unique=True),
    comment="where people are told",
)

deliveries = Table(
    "deliveries",
    METADATA,
    uid("channel_id", "to which channel"),
    uid("event_id", "which event"),
    words("state", DeliveryState, "how far it is"),
    number("tries", "how often its sending was begun and its end was heard"),
    text("reason", "why the last try failed, or why it was given up"),
    time("created_at", "when the channel was found to want it"),
    time("until", "until when it is tried"),
    time("ended_at", "when it was taken or given up; null: it waits", nullable=True),
    time("held_until", "when the quiet hours end that it waits for; null: it waits for none", nullable=True),
    document("told", "the CloudEvent, where this channel is told of a part; null: as all others", nullable=True),
    PrimaryKeyConstraint("channel_id", "event_id"),
    Index(
        "ix_deliveries_waiting", "channel_id", "created_at", "event_id", sqlite_where=_WAITS, postgresql_where=_WAITS
    ),
    Index("ix_deliveries_given_up", "channel_id", sqlite_where=_GIVEN_UP, postgresql_where=_GIVEN_UP),
    Index(None, "created_at"),
    comment="what each channel is to be sent, once; pruned",
)

links = Table(
    "links",
    METADATA,
    uid("id", "UUIDv7; stands in its address", primary_key=True),
    uid("channel_id", "in whose messages it stands"),
    uid("event_id", "of which event"),
    uid("rollout_id", "which rollout it answers for"),
    number("wave", "which wave waits for the answer, from 0"),
    words("act", LinkAct, "what it does"),
    text("sha256", "SHA-256 in hex of what opens it, which is nowhere"),
    time("created_at", "when it was first sent"),
    time("expires_at", "until when it can be used"),
    time("used_at", "when it was used; null: it was not", nullable=True),
    Index("uq_links_event", "channel_id", "event_id", "act", unique=True),
    Index(None, "created_at"),
    comment="links in messages that answer for a rollout; pruned",
)
