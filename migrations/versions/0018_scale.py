"""Indexes by which a tick of a large fleet reads what is live, and not the fleet.

On PostgreSQL the index of the commands is there already where there are any (``fleet.history.upkeep.missing_indexes``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_index("ix_hosts_created_at", "hosts", ["created_at"])
    bad = sa.text("state IN ('failed', 'regressed')")
    op.create_index("ix_rollout_hosts_bad", "rollout_hosts", ["host_id"], sqlite_where=bad, postgresql_where=bad)
    op.create_index("ix_commands_rollout_id_created_at", "commands", ["rollout_id", "created_at"], if_not_exists=True)
    op.drop_index("ix_commands_rollout_id", "commands")


def downgrade() -> None:
    """Drop them."""
    op.create_index("ix_commands_rollout_id", "commands", ["rollout_id"])
    op.drop_index("ix_commands_rollout_id_created_at", "commands")
    op.drop_index("ix_rollout_hosts_bad", "rollout_hosts")
    op.drop_index("ix_hosts_created_at", "hosts")
