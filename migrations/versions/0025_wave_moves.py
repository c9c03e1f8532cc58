"""How many hosts are in which state of a wave is kept on PostgreSQL as rows change, so that no tick has to count them.

A trigger writes it down, so that what an earlier release changes while it still runs is counted too. Only waves that know their
size are counted so; while what is there is counted, nothing is written to the table of hosts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_NOTE = """
CREATE FUNCTION note_wave_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO wave_moves (rollout_id, wave, state, hosts)
    SELECT rollout_id, wave, state, sum(one)
    FROM (
        SELECT rollout_id, wave, state, 1 AS one FROM came WHERE state <> 'pending'
        UNION ALL
        SELECT rollout_id, wave, state, -1 AS one FROM went WHERE state <> 'pending'
    ) AS moved
    GROUP BY rollout_id, wave, state
    HAVING sum(one) <> 0;
    RETURN NULL;
END
$$
"""
_AT_EACH_UPDATE = """
CREATE TRIGGER note_wave_moves AFTER UPDATE ON rollout_hosts
REFERENCING OLD TABLE AS went NEW TABLE AS came
FOR EACH STATEMENT EXECUTE FUNCTION note_wave_moves()
"""
_WHAT_IS_THERE = """
INSERT INTO wave_moves (rollout_id, wave, state, hosts)
SELECT h.rollout_id, h.wave, h.state, count(*)
FROM rollout_hosts AS h
JOIN waves AS w ON w.rollout_id = h.rollout_id AND w.number = h.wave
WHERE w.hosts IS NOT NULL AND h.state <> 'pending'
GROUP BY h.rollout_id, h.wave, h.state
"""


def upgrade() -> None:
    """Add the table and, on PostgreSQL, the trigger; and write down what is there."""
    op.create_table(
        "wave_moves",
        sa.Column("rollout_id", sa.Uuid(), nullable=False, comment="which rollout"),
        sa.Column("wave", sa.Integer(), autoincrement=False, nullable=False, comment="the number of the wave"),
        sa.Column("state", sa.Text(), nullable=False, comment="a state but pending"),
        sa.Column(
            "hosts",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="how many hosts came into it; below zero: left it",
        ),
        comment="by how much the hosts of each wave in each state became more or fewer; on PostgreSQL",
    )
    op.create_index("ix_wave_moves_rollout_id", "wave_moves", ["rollout_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_NOTE)
        # From here on until the end of the migration nobody else writes to the table.
        op.execute(_AT_EACH_UPDATE)
        op.execute(_WHAT_IS_THERE)


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER note_wave_moves ON rollout_hosts")
        op.execute("DROP FUNCTION note_wave_moves()")
    op.drop_table("wave_moves")
