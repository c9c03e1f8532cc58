"""What waves, gates, ways back and caps need to be remembered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

COLUMNS = {
    "rollouts": (
        ("way_back_of", sa.Uuid(), "the rollout that this one undoes; null: it undoes none"),
        ("superseded_by", sa.Uuid(), "a newer rollout of the same images to the same hosts; null: none"),
        ("forgiven", sa.Integer(), "failures over all waves that a person saw and accepted; null: none"),
        ("counted_from", TIME, "tries that ended before this do not count as failures in a row; null: all do"),
    ),
    "waves": (
        ("active_ms", sa.BigInteger(), "its active time up to active_since, or in all, milliseconds; null: none"),
        ("active_since", TIME, "since when its active time runs; null: it stands still"),
        ("soak_since", TIME, "since when it soaks; null: its gate is not met"),
        ("approved_by", sa.Text(), "who approved it; null: nobody"),
        ("approved_at", TIME, "when it was approved"),
        ("prefetched_at", TIME, "when its hosts were told to pull ahead; null: they were not"),
        ("decided_by", sa.Text(), "who waived or last retried it; null: nobody"),
        ("reason", sa.Text(), "why it ended as it did, or why it was waived; null: there is nothing to say"),
        ("evidence", DOCUMENT, "the numbers that its gate was judged by; null: it was not judged"),
    ),
    "rollout_hosts": (
        ("failure", sa.Text(), "whose fault the latest failed try is; null: none failed"),
        ("parked_at", TIME, "when it was parked; null: it is not parked"),
    ),
}


def upgrade() -> None:
    """Make them."""
    for table, columns in COLUMNS.items():
        for name, kind, comment in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True, comment=comment))
    op.create_index("ix_rollouts_way_back_of", "rollouts", ["way_back_of"], unique=False)
    op.create_index("ix_rollout_hosts_host", "rollout_hosts", ["host_id", "rollout_id"], unique=False)
    op.create_table(
        "caps",
        sa.Column("label", sa.Text(), nullable=False, comment="the label by whose values hosts are counted"),
        sa.Column(
            "most",
            sa.Text(),
            nullable=False,
            comment="how many hosts of one value may be away at once, over all rollouts: 3, or 25%",
        ),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="who wrote it last"),
        sa.Column("changed_at", TIME, nullable=False, comment="when it was written last"),
        sa.PrimaryKeyConstraint("label", name=op.f("pk_caps")),
        comment="how many hosts may be away at once",
    )


def downgrade() -> None:
    """Drop them, with all that is in them."""
    op.drop_table("caps")
    op.drop_index("ix_rollout_hosts_host", "rollout_hosts")
    op.drop_index("ix_rollouts_way_back_of", "rollouts")
    for table, columns in COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)
