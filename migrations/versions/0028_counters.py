"""Counters for metrics, which go up as facts are written and stay when old facts are given up.

They begin at zero: facts of before are not counted. An earlier release that still runs writes facts and counts none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    since = "how many there were since the table was made"
    op.create_table(
        "counters",
        sa.Column("counter", sa.Text(), nullable=False, comment="what is counted, one word"),
        sa.Column(
            "labels",
            sa.Text(),
            nullable=False,
            comment="the values of its labels as a JSON list, in the order in which they are declared",
        ),
        sa.Column(
            "count", sa.BigInteger(), nullable=False, comment=f"{since}, or the sum of it in the counter's own unit"
        ),
        sa.PrimaryKeyConstraint("counter", "labels", name="pk_counters"),
        comment="what metrics show as counters: never less than before",
    )
    op.create_table(
        "host_updates",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="which host"),
        sa.Column("result", sa.Text(), nullable=False, comment="how the updates ended"),
        sa.Column("count", sa.BigInteger(), nullable=False, comment=since),
        sa.PrimaryKeyConstraint("host_id", "result", name="pk_host_updates"),
        comment="how many updates of each host ended how",
    )
    op.create_table(
        "condition_counts",
        sa.Column("code", sa.Text(), nullable=False, comment="the condition's code in the catalogue"),
        sa.Column("subjects", sa.Integer(), nullable=False, comment="of how many hosts, mirrors or images it held"),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False, comment="when a planner last looked"),
        sa.PrimaryKeyConstraint("code", name="pk_condition_counts"),
        comment="which conditions held when a planner last looked: the latest look, never history",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("condition_counts")
    op.drop_table("host_updates")
    op.drop_table("counters")
