"""Registries may say that something was pushed: where they do, and which tags are asked for soon because of it.

An earlier release that still runs plans as before: what was heard is then asked for once its planner is replaced, or by the clock.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def upgrade() -> None:
    """Make the tables."""
    used = "when it was last spoken to by who knew the secret; null: never"
    op.create_table(
        "receivers",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7; stands in its URL"),
        _text("name", "what people call it"),
        _text("sha256", "SHA-256 in hex of its secret; the secret itself is nowhere"),
        _text("registry", "the registry that it speaks of, as hosts name it; empty: the one that each body names"),
        _text("created_by", "who made it"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was made"),
        sa.Column("last_used_at", TIME, nullable=True, comment=used),
        _text("last_heard", "what it heard then"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receivers")),
        comment="where registries say that something was pushed",
    )
    op.create_index("uq_receivers_name", "receivers", ["name"], unique=True)
    first = "when a push of it was first heard of since it was last asked for"
    op.create_table(
        "pushes",
        _text("image", "canonical registry/repository:tag"),
        sa.Column("heard_at", TIME, nullable=False, comment=first),
        sa.PrimaryKeyConstraint("image", name=op.f("pk_pushes")),
        comment="tags that are asked for soon because a push of them was heard of",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("pushes")
    op.drop_table("receivers")
