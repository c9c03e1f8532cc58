"""People are told: events, conditions that were told, channels, and what is to be sent to each.

An earlier release that still runs writes no events; what it does meanwhile is told of by nobody, and stands in the history as ever.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_UNTAKEN = sa.text("taken_at IS NULL")
_WAITS = sa.text("state = 'waiting'")
_GIVEN_UP = sa.text("state = 'given_up'")


def _column(name: str, kind: sa.types.TypeEngine[Any], comment: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, comment=comment)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "events",
        _column(
            "id", sa.Uuid(), "that of the outcome or of the event of a rollout that it tells of, else a UUID of its own"
        ),
        _column("type", sa.Text(), "what happened"),
        _column("severity", sa.Text(), "how soon a person should look"),
        _column("subject", sa.Text(), "what it is about; empty: told by what it names"),
        _column("host_id", sa.Uuid(), "the host that it is about; null: none in particular", True),
        _column("rollout_id", sa.Uuid(), "the rollout that it is about; null: none", True),
        _column("details", DOCUMENT, "what the tables that it names do not say"),
        _column("at", TIME, "when it was written, with what it tells of"),
        _column("taken_at", TIME, "when the channels that want it were found; null: not yet", True),
        _column(
            "told", DOCUMENT, "the CloudEvent, as every channel gets it; null: not taken, or nobody wanted it", True
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        comment="what happened and people are told of; pruned",
    )
    op.create_index("ix_events_untaken", "events", ["at"], sqlite_where=_UNTAKEN, postgresql_where=_UNTAKEN)
    op.create_index(op.f("ix_events_at"), "events", ["at"])
    op.create_table(
        "conditions",
        _column("code", sa.Text(), "which condition of the catalogue"),
        _column("subject", sa.Text(), "the host, image, mirror or process"),
        _column("severity", sa.Text(), "how soon a person should look"),
        _column("title", sa.Text(), "what it is called"),
        _column("text", sa.Text(), "what was found when it was raised"),
        _column("remedy", sa.Text(), "what to do about it"),
        _column("since", TIME, "since when it is known to hold; null: not known", True),
        _column("raised_at", TIME, "when it was told"),
        _column("away_since", TIME, "since when it holds no more, which is told after a while; null: it holds", True),
        sa.PrimaryKeyConstraint("code", "subject", name=op.f("pk_conditions")),
        comment="the conditions that were told and have not ended",
    )
    op.create_table(
        "channels",
        _column("id", sa.Uuid(), "UUIDv7"),
        _column("name", sa.Text(), "what people call it"),
        _column("kind", sa.Text(), "how it is told"),
        _column("address", sa.Text(), "what may be shown of its URL"),
        _column("sealed", sa.Text(), "its URL and secret, encrypted for the notifier alone"),
        _column(
            "events",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            "types of events and codes of conditions that it gets, as globs",
        ),
        _column("severity", sa.Text(), "the least urgent that it gets"),
        _column("selector", DOCUMENT, "of which hosts, containers and images; empty: of all"),
        _column("created_by", sa.Text(), "who made it"),
        _column("created_at", TIME, "when it was made"),
        sa.Column(
            "failures",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="how often sending failed since it last succeeded",
        ),
        _column("failing_since", TIME, "since when it does not take what it is sent; null: it does", True),
        _column("reason", sa.Text(), "why sending last failed"),
        _column("due_at", TIME, "when something may be sent to it again; null: at once", True),
        _column("leased_until", TIME, "until when a notifier that sends keeps others away", True),
        _column("sent_at", TIME, "when it last took something", True),
        _column(
            "stopped_at",
            TIME,
            "since when nothing is sent to it, because it said that it is gone; null: it is not",
            True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channels")),
        comment="where people are told",
    )
    op.create_index("uq_channels_name", "channels", ["name"], unique=True)
    op.create_table(
        "deliveries",
        _column("channel_id", sa.Uuid(), "to which channel"),
        _column("event_id", sa.Uuid(), "which event"),
        _column("state", sa.Text(), "how far it is"),
        sa.Column(
            "tries",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="how often its sending was begun and its end was heard",
        ),
        _column("reason", sa.Text(), "why the last try failed, or why it was given up"),
        _column("created_at", TIME, "when the channel was found to want it"),
        _column("until", TIME, "until when it is tried"),
        _column("ended_at", TIME, "when it was taken or given up; null: it waits", True),
        sa.PrimaryKeyConstraint("channel_id", "event_id", name=op.f("pk_deliveries")),
        comment="what each channel is to be sent, once; pruned",
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["channel_id", "created_at", "event_id"],
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
    op.create_index(
        "ix_deliveries_given_up", "deliveries", ["channel_id"], sqlite_where=_GIVEN_UP, postgresql_where=_GIVEN_UP
    )
    op.create_index(op.f("ix_deliveries_created_at"), "deliveries", ["created_at"])


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for table in ("deliveries", "channels", "conditions", "events"):
        op.drop_table(table)
