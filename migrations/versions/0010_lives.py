"""What tells two agents of one host apart, and who tries to log in as it in vain."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ITEMS = sa.JSON().with_variant(JSONB(), "postgresql")

COLUMNS = {
    "hosts": (
        ("lives", ITEMS, "the last lives of its agent, the present one last; null: it told of none"),
        ("life_since", TIME, "when the present one was first heard"),
        ("rivals_at", TIME, "since when two agents are known to speak as it; nothing is sent to it"),
        ("strangers_since", TIME, "since when somebody tries to log in as it with a void password"),
        ("strangers_at", TIME, "when somebody last did"),
    ),
    "commands": (("life", sa.Uuid(), "the agent's life that claimed it, and alone may take it; null: any"),),
}


def upgrade() -> None:
    """Make it."""
    for table, columns in COLUMNS.items():
        for name, kind, comment in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True, comment=comment))
    op.create_index(op.f("ix_hosts_engine_id"), "hosts", ["engine_id"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(op.f("ix_hosts_engine_id"), "hosts")
    for table, columns in COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)
