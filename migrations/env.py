"""How Alembic meets the database: over the connection that ``fleet db upgrade`` opened, or one to ``-x url=...``."""

from alembic import context
from sqlalchemy import Connection

from fleet.history.sql.database import Database
from fleet.history.tables.metadata import METADATA


def run(connection: Connection) -> None:
    """Run the migrations inside the connection's transaction: all of them, or none."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with Database.open(context.get_x_argument(as_dictionary=True)["url"]).writing() as opened:
        run(opened)
