"""Where keys and passwords of hosts stand while they are being replaced by the hosts' own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "rekeys",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="which host"),
        sa.Column(
            "kid",
            sa.Text(),
            nullable=False,
            comment="the new key, which holds beside the old one; it is among host_keys",
        ),
        sa.Column(
            "password_sha256", sa.Text(), nullable=False, comment="SHA-256 in hex of the new password at the broker"
        ),
        sa.Column("asked_at", TIME, nullable=False, comment="when the host told of it"),
        sa.Column(
            "heard_at",
            TIME,
            nullable=True,
            comment="when the new key was first used, which voids the old one; null: not yet",
        ),
        sa.Column("told_at", TIME, nullable=True, comment="when the broker was last told; null: it is to be told"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_rekeys_host_id_hosts")),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_rekeys")),
        comment="keys and passwords that are being replaced; a row is gone once the broker knows the new password alone",
    )


def downgrade() -> None:
    """Drop it: a host whose key is being replaced goes on with the one that it had."""
    op.drop_table("rekeys")
