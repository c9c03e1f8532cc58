"""No index names the open commands of one host: each move of a command wrote it anew, and only the removal of a host asked it.

Open commands are few, and their due times have an index. An earlier release that still runs needs it no more than this one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop it."""
    op.drop_index("ix_commands_open", "commands")


def downgrade() -> None:
    """Make it anew."""
    still_open = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_commands_open", "commands", ["host_id", "state"], sqlite_where=still_open, postgresql_where=still_open
    )
