"""What mirrors, moves back of tags and rate limits need to be remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

PROBES = (
    ("state", sa.Text(), "what the look found, one word; null: written by a version that did not tell"),
    ("test_id", sa.Uuid(), "the test that asked for it; null: none did"),
    ("tls_not_after", TIME, "when its certificate expires; null: it has none, or it was not seen"),
    ("digest", sa.Text(), "what it said that the tag has; null: it was not asked, or did not say"),
    ("origin_digest", sa.Text(), "what the origin had said before; null: not known"),
    ("bytes_per_s", sa.BigInteger(), "how fast a blob came, bytes a second; null: not measured"),
)


def upgrade() -> None:
    """Make them."""
    for name, kind, comment in PROBES:
        op.add_column("mirror_probes", sa.Column(name, kind, nullable=True, comment=comment))
    refused = "a digest that the tag had before and went back to, which was refused; null: none"
    op.add_column("tags", sa.Column("refused_digest", sa.Text(), nullable=True, comment=refused))
    op.create_table(
        "mirror_tests",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7; travels in the request and its answer"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="the host that was asked to look"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="person:NAME, or schedule"),
        sa.Column("asked_at", TIME, nullable=False, comment="when it was asked"),
        sa.Column("answered_at", TIME, nullable=True, comment="when its answer came"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_mirror_tests_host_id_hosts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mirror_tests")),
        comment="looks at mirrors that hosts were asked for",
    )
    op.create_index(op.f("ix_mirror_tests_host_id_asked_at"), "mirror_tests", ["host_id", "asked_at"], unique=False)
    op.create_table(
        "rate_limits",
        sa.Column("endpoint", sa.Text(), nullable=False, comment="the endpoint that said so"),
        sa.Column("limit", sa.Integer(), autoincrement=False, nullable=False, comment="pulls a window"),
        sa.Column("remaining", sa.Integer(), autoincrement=False, nullable=False, comment="pulls that were left"),
        sa.Column(
            "window_s", sa.Integer(), autoincrement=False, nullable=False, comment="the window, seconds; 0: not said"
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="whom it counts: an address or an account's id"),
        sa.Column("seen_at", TIME, nullable=False, comment="when it was last said to the centre"),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_rate_limits")),
        comment="how often registries may be asked by the centre, as they last said",
    )


def downgrade() -> None:
    """Drop them, with all that is in them."""
    op.drop_table("rate_limits")
    op.drop_table("mirror_tests")
    op.drop_column("tags", "refused_digest")
    for name, _, _ in reversed(PROBES):
        op.drop_column("mirror_probes", name)
