"""A channel that chose a part is told of that part, what comes and goes is known again, and messages in a row come less often.

An earlier release that still runs tells such a channel of the whole, and of what comes and goes each time, as before; it does not
know that a condition has ended whose row is kept, and tells once more of its end.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
_WAS = "the conditions that were told and have not ended"
_IS = "the conditions that were told, until their end was some time ago"
DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    told = "the CloudEvent, where this channel is told of a part; null: as all others"
    op.add_column("deliveries", sa.Column("told", DOCUMENT, nullable=True, comment=told))
    times = "how often it was told that it began, each soon after the last; null: once"
    op.add_column("conditions", sa.Column("times", sa.Integer(), nullable=True, comment=times))
    ended = "when its end was told; kept for a while to know it again; null: not yet"
    op.add_column("conditions", sa.Column("ended_at", TIME, nullable=True, comment=ended))
    _say(_IS, _WAS)
    in_a_row = "how many messages it took, each as soon as it might; null: none"
    op.add_column("channels", sa.Column("in_a_row", sa.Integer(), nullable=True, comment=in_a_row))


def downgrade() -> None:
    """Drop them, with the conditions whose end was told."""
    op.execute("DELETE FROM conditions WHERE ended_at IS NOT NULL")
    _say(_WAS, _IS)
    op.drop_column("channels", "in_a_row")
    op.drop_column("conditions", "ended_at")
    op.drop_column("conditions", "times")
    op.drop_column("deliveries", "told")


def _say(comment: str, was: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.create_table_comment("conditions", comment, existing_comment=was)
