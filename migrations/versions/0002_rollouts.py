"""Rollouts, waves, hosts in them, schedules, plans and policies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column(
            "number",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="for people: #42; in the order in which they were made",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="how far it is"),
        sa.Column("spec", DOCUMENT, nullable=False, comment="waves, limits and times; never changes"),
        sa.Column("holds", DOCUMENT, nullable=False, comment="the reasons why it sends nothing new; empty: none"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="person:NAME, schedule:NAME or rollout:ID"),
        sa.Column(
            "plan_id",
            sa.Uuid(),
            nullable=True,
            comment="the plan that was applied; plans are pruned, so it may be gone",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it was made or stopped, for people"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was made"),
        sa.Column("started_at", TIME, nullable=True, comment="when it began to run"),
        sa.Column("ended_at", TIME, nullable=True, comment="when it was over"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
        comment="orders to the fleet; even one update of one container is one",
    )
    op.create_index(
        "ix_rollouts_active",
        "rollouts",
        ["id"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("uq_rollouts_number", "rollouts", ["number"], unique=True)
    op.create_table(
        "waves",
        sa.Column("rollout_id", sa.Uuid(), nullable=False, comment="which rollout"),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="its place, from 0"),
        sa.Column("state", sa.Text(), nullable=False, comment="how far it is"),
        sa.Column("opened_at", TIME, nullable=True, comment="when its hosts could first be dispatched"),
        sa.Column("ended_at", TIME, nullable=True, comment="when its last host ended"),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_waves_rollout_id")),
        sa.PrimaryKeyConstraint("rollout_id", "number", name=op.f("pk_waves")),
        comment="the waves of each rollout",
    )
    op.create_table(
        "rollout_hosts",
        sa.Column("rollout_id", sa.Uuid(), nullable=False, comment="which rollout"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="which host"),
        sa.Column("wave", sa.Integer(), autoincrement=False, nullable=False, comment="the number of its wave"),
        sa.Column(
            "position",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="its place in the rollout's order, from 0",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="where it stands"),
        sa.Column(
            "targets", DOCUMENT, nullable=False, comment="what the plan pinned for it: one JSON object a container"
        ),
        sa.Column("tries", sa.Integer(), autoincrement=False, nullable=False, comment="how many tries were spent"),
        sa.Column("command_id", sa.Uuid(), nullable=True, comment="the latest command; null: none yet"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it failed, waits again, was skipped or withdrawn"),
        sa.Column("not_before", TIME, nullable=True, comment="when its next try may begin; null: at once"),
        sa.Column("changed_at", TIME, nullable=False, comment="when its state last changed"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_rollout_hosts_host_id")),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_hosts_rollout_id")),
        sa.PrimaryKeyConstraint("rollout_id", "host_id", name=op.f("pk_rollout_hosts")),
        comment="the hosts of each rollout, in exactly one state each",
    )
    op.create_index("ix_rollout_hosts_wave", "rollout_hosts", ["rollout_id", "wave", "state", "position"], unique=False)
    op.create_index(
        "uq_rollout_hosts_live_host",
        "rollout_hosts",
        ["host_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('dispatched', 'pulling', 'ready', 'applying')"),
        postgresql_where=sa.text("state IN ('dispatched', 'pulling', 'ready', 'applying')"),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("name", sa.Text(), nullable=False, comment="what people call it"),
        sa.Column("cron", sa.Text(), nullable=False, comment="five fields"),
        sa.Column("zone", sa.Text(), nullable=False, comment="the time zone that cron is read in"),
        sa.Column("action", sa.Text(), nullable=False, comment="what it does when it is due"),
        sa.Column("selector", DOCUMENT, nullable=False, comment="which hosts and images; empty: all"),
        sa.Column("spec", DOCUMENT, nullable=True, comment="the spec of the rollouts that it makes; null: the default"),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="whether it runs"),
        sa.Column("created_by", sa.Text(), nullable=False, comment="who made it"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was made"),
        sa.Column("next_run_at", TIME, nullable=True, comment="when it is due"),
        sa.Column("last_run_at", TIME, nullable=True, comment="when it last ran"),
        sa.Column("last_result", sa.Text(), nullable=False, comment="what came of the last run, for people"),
        sa.Column("leased_until", TIME, nullable=True, comment="until when a planner that runs it keeps others away"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        comment="what is done by the clock",
    )
    op.create_index(op.f("ix_schedules_next_run_at"), "schedules", ["next_run_at"], unique=False)
    op.create_index("uq_schedules_name", "schedules", ["name"], unique=True)
    op.create_table(
        "plans",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("selector", DOCUMENT, nullable=False, comment="which hosts and images it was made for"),
        sa.Column("document", DOCUMENT, nullable=False, comment="hosts, containers, old and new digests, warnings"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="who made it"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was made"),
        sa.Column("expires_at", TIME, nullable=False, comment="when it is too old to be applied"),
        sa.Column("rollout_id", sa.Uuid(), nullable=True, comment="the rollout that it became; null: not applied"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        comment="plans that may be applied",
    )
    op.create_index(op.f("ix_plans_expires_at"), "plans", ["expires_at"], unique=False)
    op.create_table(
        "policies",
        sa.Column("kind", sa.Text(), nullable=False, comment="to whom it applies"),
        sa.Column(
            "subject",
            sa.Text(),
            nullable=False,
            comment="empty for the fleet, name=value of the label, or the host's id in hex",
        ),
        sa.Column("document", DOCUMENT, nullable=False, comment="the policy, only what it sets"),
        sa.Column(
            "version", sa.Integer(), autoincrement=False, nullable=False, comment="how often it was written, from 1"
        ),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="who wrote it last"),
        sa.Column("changed_at", TIME, nullable=False, comment="when it was written last"),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_policies")),
        comment="what hosts may do and how, as people wrote it",
    )


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    op.drop_table("policies")
    op.drop_table("plans")
    op.drop_table("schedules")
    op.drop_table("rollout_hosts")
    op.drop_table("waves")
    op.drop_table("rollouts")
