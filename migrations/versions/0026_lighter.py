"""Rows that a rollout writes for each host are written at less cost.

Messages that wait to be sent: their hosts are never deleted, so that nothing has to look each of them up; and they are sent in the
order in which they were written, which an index gives that a lease does not change. Outcomes: nobody asks for them by their
command, which names their ids. Hosts, on PostgreSQL: a page keeps room for the new versions of its rows, so that to be heard of
touches no index. An earlier release that still runs needs none of what goes.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop what is not needed, and leave room."""
    with op.batch_alter_table("outbox") as batch:
        batch.drop_constraint("fk_outbox_host_id", type_="foreignkey")
        batch.drop_index("ix_outbox_leased_until")
        batch.create_index("ix_outbox_created_at", ["created_at"])
    op.drop_index("ix_updates_command_id", "updates")
    _keep_room("SET (fillfactor = 85)")


def downgrade() -> None:
    """Take all of it back."""
    _keep_room("RESET (fillfactor)")
    op.create_index("ix_updates_command_id", "updates", ["command_id"])
    with op.batch_alter_table("outbox") as batch:
        batch.drop_index("ix_outbox_created_at")
        batch.create_index("ix_outbox_leased_until", ["leased_until"])
        batch.create_foreign_key("fk_outbox_host_id", "hosts", ["host_id"], ["id"])


def _keep_room(how: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE hosts {how}")
