"""The comment of a column that did not say its unit."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BEFORE, AFTER = "how long it was", "how long it was, bytes"


def upgrade() -> None:
    """Write it."""
    _comment(AFTER, BEFORE)


def downgrade() -> None:
    """Write the one before."""
    _comment(BEFORE, AFTER)


def _comment(new: str, old: str) -> None:
    # SQLite keeps no comments.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "refused",
            "size_bytes",
            existing_type=sa.BigInteger(),
            existing_nullable=False,
            comment=new,
            existing_comment=old,
        )
