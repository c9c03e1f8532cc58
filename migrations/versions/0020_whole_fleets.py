"""What a rollout of a whole fleet costs less by: the size of each wave, no look at hosts and rollouts for each of its rows.

Hosts and rollouts are never deleted, and rows are made of hosts that were just read. Plans are mostly digests and ids, which do
not get smaller by PostgreSQL's compression but take a third of a second of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

FOREIGN = {"host_id": "hosts", "rollout_id": "rollouts"}


def upgrade() -> None:
    """Add the size, drop the foreign keys, and keep plans as they are."""
    op.add_column(
        "waves",
        sa.Column(
            "hosts",
            sa.Integer(),
            nullable=True,
            comment="how many hosts it has; null: made by an earlier release, so they are counted",
        ),
    )
    with op.batch_alter_table("rollout_hosts") as batch:
        for column in FOREIGN:
            batch.drop_constraint(f"fk_rollout_hosts_{column}", type_="foreignkey")
    _store("EXTERNAL")


def downgrade() -> None:
    """Take all of it back."""
    _store("EXTENDED")
    with op.batch_alter_table("rollout_hosts") as batch:
        for column, table in FOREIGN.items():
            batch.create_foreign_key(f"fk_rollout_hosts_{column}", table, [column], ["id"])
    op.drop_column("waves", "hosts")


def _store(how: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE plans ALTER COLUMN document SET STORAGE {how}")
