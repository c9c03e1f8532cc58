"""The database's shape: brought to this program's by migrations, and checked before use."""

from contextlib import suppress
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import fleet
from fleet.errors import Refused
from fleet.history.sql.database import Database
from fleet.history.tables.partitions import partitions as partitions
from fleet.history.upkeep.missing_indexes import build_missing

_KEY = 0x666C65657470
"""The key of the advisory lock that lets one upgrade run at a time on PostgreSQL."""

_LOCK_TIMEOUT_S = 10
"""How long a migration waits for a table that the running program uses; it fails then, and may be run again."""


def upgrade(db_url: str) -> None:
    """Bring the database at *db_url* to the shape of this program; safe to run twice, and at once.

    Raises Refused where the database was made by a newer program.
    """
    db = Database.open(db_url)
    if db.file is not None:
        # It holds hashes of tokens and passwords; SQLite itself would let everyone read it. What is wrong with the
        # place is told when it is opened.
        with suppress(OSError):
            db.file.touch(mode=0o600)
    try:
        with db.reading() as connection:
            _refuse_newer(connection)
        build_missing(db)
        with db.writing() as connection:
            if db.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY})
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")
            _refuse_newer(connection)
            command.upgrade(_config(connection), "head")
        partitions(db)
    finally:
        db.close()


def require_head(db: Database) -> None:
    """Raise Refused, which names the remedy, where the database has not the shape of this program."""
    with db.reading() as connection:
        _refuse_newer(connection)
        if _found(connection) != _scripts().get_current_head():
            raise Refused(
                f"cannot use the database {db.place}: its tables are not those of this version; run: fleet db upgrade"
            )


def migrations() -> Path:
    """Return the folder of the migrations: inside the wheel, or beside the package where it is installed editable."""
    package = Path(fleet.__file__).parent
    packaged = package / "_migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


def _refuse_newer(connection: Connection) -> None:
    found = _found(connection)
    if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
        raise Refused(
            f"cannot use the database: it is of a newer version ({found}); install that version or a later one"
        )


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations()))


def _config(connection: Connection) -> Config:
    config = Config()
    # A percent sign would begin an interpolation.
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
