"""How many containers are of which kind is kept as rows change, so that no page has to count the whole fleet's.

Triggers write it down, so that what an earlier release changes while it still runs is counted too; on PostgreSQL one a statement,
on SQLite one a row, of those alone in which anything changed that counts. Containers that a host told of while it was removed are
not counted: they are shown nowhere, and nothing happens to them any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_KIND = "image, digests, local_build, state"
_NEW = "NEW.image, NEW.digests, NEW.local_build, NEW.state"
_OLD = "OLD.image, OLD.digests, OLD.local_build, OLD.state"
_TEXTS = "image, digests::text, local_build, state"
_THERE = "host_id IN (SELECT id FROM hosts WHERE removed_at IS NULL)"


def _postgresql() -> None:
    came = f"SELECT {_TEXTS}, 1 FROM came"  # noqa: S608
    went = f"SELECT {_TEXTS}, -1 FROM went"  # noqa: S608
    for event, tables, rows in (
        ("insert", "NEW TABLE AS came", came),
        ("delete", "OLD TABLE AS went", went),
        ("update", "OLD TABLE AS went NEW TABLE AS came", f"{came} UNION ALL {went}"),
    ):
        name = f"note_container_moves_at_{event}"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"  # noqa: S608
            f" INSERT INTO container_moves ({_KIND}, containers) SELECT {_KIND}, sum(one)"
            f" FROM ({rows}) AS moved ({_KIND}, one) GROUP BY {_KIND} HAVING sum(one) <> 0;"
            " RETURN NULL; END $$"
        )
        # From here on until the end of the migration nobody else writes to the table.
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON containers REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )


def _sqlite() -> None:
    came = f"INSERT INTO container_moves ({_KIND}, containers) VALUES ({_NEW}, 1);"  # noqa: S608
    went = f"INSERT INTO container_moves ({_KIND}, containers) VALUES ({_OLD}, -1);"  # noqa: S608
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _KIND.split(", "))
    for event, when, then in (
        ("insert", "", came),
        ("delete", "", went),
        ("update", f"WHEN {changed} ", f"{went} {came}"),
    ):
        op.execute(f"CREATE TRIGGER note_container_moves_at_{event} AFTER {event} ON containers {when}BEGIN {then} END")


def upgrade() -> None:
    """Add the table and the triggers, and write down what is there."""
    op.create_table(
        "container_moves",
        sa.Column(
            "image", sa.Text(), nullable=False, comment="the registry/repository:tag that they follow; empty: none"
        ),
        sa.Column("digests", sa.Text(), nullable=False, comment="the digests of their image, a JSON list as text"),
        sa.Column("local_build", sa.Boolean(), nullable=False, comment="whether the image has no digest of a registry"),
        sa.Column("state", sa.Text(), nullable=False, comment="the engine's word: running, exited, ..."),
        sa.Column(
            "containers", sa.Integer(), autoincrement=False, nullable=False, comment="how many came; below zero: went"
        ),
        comment="by how much the containers of each kind became more or fewer; their sums are how many there are",
    )
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        _postgresql()
    else:
        _sqlite()
    of_rows = _TEXTS if postgresql else _KIND
    op.execute(
        f"INSERT INTO container_moves ({_KIND}, containers) SELECT {of_rows}, count(*) FROM containers"  # noqa: S608
        f" WHERE {_THERE} GROUP BY {of_rows}"
    )


def downgrade() -> None:
    """Drop them."""
    for event in ("insert", "delete", "update"):
        name = f"note_container_moves_at_{event}"
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER {name} ON containers")
            op.execute(f"DROP FUNCTION {name}()")
        else:
            op.execute(f"DROP TRIGGER {name}")
    op.drop_table("container_moves")
