"""Channels may have words of their own.

An earlier release that still runs tells in the usual ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_COLUMNS = {
    "title_template": "its own words for titles; empty or null: the usual ones",
    "body_template": "its own words for what follows; empty or null: the usual ones",
    "body_format": "what the latter makes: text, markdown or html; empty or null: text",
}


def upgrade() -> None:
    """Add the columns."""
    for name, comment in _COLUMNS.items():
        op.add_column("channels", sa.Column(name, sa.Text(), nullable=True, comment=comment))


def downgrade() -> None:
    """Drop them."""
    for name in reversed(_COLUMNS):
        op.drop_column("channels", name)
