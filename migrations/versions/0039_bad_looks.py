"""An index of the looks at mirrors that found something wrong: they are looked for on each page, and are few among many.

On PostgreSQL it is there already where looks are (``fleet.history.upkeep.missing_indexes``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    bad = sa.text("state <> 'ok'")
    op.create_index(
        "ix_mirror_probes_bad",
        "mirror_probes",
        ["id"],
        unique=False,
        if_not_exists=True,
        sqlite_where=bad,
        postgresql_where=bad,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_mirror_probes_bad", "mirror_probes")
