"""A parked host has a mark where its rollout has to look at it, and an index finds those, so that no tick looks at all of them.

An earlier release that still runs parks hosts and looks at all of them, as before; what it hears of a parked host it does not tell,
and this release does at the next word of the host.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_PARKED = sa.text("state = 'parked'")
_INDEXES = {
    "ix_rollout_hosts_parked": ["rollout_id", "look_at", "parked_at"],
    "ix_rollout_hosts_parked_host": ["host_id"],
}


def upgrade() -> None:
    """Add the mark and the indexes."""
    comment = "when something was told of it while it was parked, so that its rollout looks at it; null: nothing was"
    op.add_column("rollout_hosts", sa.Column("look_at", sa.DateTime(timezone=True), nullable=True, comment=comment))
    for name, columns in _INDEXES.items():
        op.create_index(name, "rollout_hosts", columns, sqlite_where=_PARKED, postgresql_where=_PARKED)


def downgrade() -> None:
    """Drop them."""
    for name in _INDEXES:
        op.drop_index(name, "rollout_hosts")
    op.drop_column("rollout_hosts", "look_at")
