"""Indexes for the questions that the history is asked, and what each day came to.

On PostgreSQL the indexes are there already where facts are (``fleet.history.upkeep.missing_indexes``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
FAILED = sa.text("result IN ('failed', 'rolled_back', 'rollback_failed', 'abandoned')")


def upgrade() -> None:
    """Make them."""
    _index(op.f("ix_attempts_recorded_at"), "attempts", "recorded_at")
    _index(op.f("ix_updates_asked_by_id"), "updates", "asked_by", "id")
    _index(op.f("ix_updates_host_id_container_id"), "updates", "host_id", "container", "id")
    _index("ix_updates_failures", "updates", "repository", "id", where=FAILED)
    op.create_table(
        "days",
        sa.Column("day", sa.Text(), nullable=False, comment="the day in UTC, YYYY-MM-DD"),
        sa.Column(
            "lowest_id",
            sa.Uuid(),
            nullable=True,
            comment="lowest id of the updates that were written down that day; null: none was",
        ),
        sa.Column(
            "highest_id",
            sa.Uuid(),
            nullable=True,
            comment="highest id of the updates that were written down that day; null: none was",
        ),
        _number("updates", "how many updates were written down that day"),
        _number("failures", "how many of them went wrong"),
        sa.Column("closed_at", TIME, nullable=False, comment="when this row was written: after the end of its day"),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_days")),
        comment="one row a day that is over",
    )
    op.create_table(
        "mirror_days",
        sa.Column("mirror", sa.Text(), nullable=False, comment="the source's endpoint, without credentials"),
        sa.Column(
            "day",
            sa.Text(),
            nullable=False,
            comment="the day in UTC on which the attempts were written down, YYYY-MM-DD",
        ),
        _number("pulls", "pulls in which it was asked, or passed over because it had just failed"),
        _number("served", "pulls in which it gave bytes that were used, and nothing wrong"),
        _number("failures", "pulls in which it failed"),
        _number("passed_over", "pulls in which it was not asked, because it had failed a moment before"),
        _number("fallbacks", "pulls that it served after a source before it had not"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="verified bytes of it that were passed to engines"),
        sa.Column(
            "duration_ms",
            sa.BigInteger(),
            nullable=False,
            comment="time spent receiving these bytes, milliseconds",
        ),
        _number("requests", "requests that it got"),
        sa.PrimaryKeyConstraint("mirror", "day", name=op.f("pk_mirror_days")),
        comment="one row a source and day that is over, summed over attempts",
    )
    op.create_index(op.f("ix_mirror_days_day"), "mirror_days", ["day"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("mirror_days")
    op.drop_table("days")
    op.drop_index("ix_updates_failures", table_name="updates")
    op.drop_index(op.f("ix_updates_host_id_container_id"), table_name="updates")
    op.drop_index(op.f("ix_updates_asked_by_id"), table_name="updates")
    op.drop_index(op.f("ix_attempts_recorded_at"), table_name="attempts")


def _number(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), autoincrement=False, nullable=False, comment=comment)


def _index(name: str, table: str, *columns: str, where: sa.TextClause | None = None) -> None:
    op.create_index(name, table, list(columns), sqlite_where=where, postgresql_where=where, if_not_exists=True)
