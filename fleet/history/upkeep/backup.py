"""Copies of the database while it is used, and their way back into an empty one."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import inspect

from fleet.errors import BadInput, FleetError, Refused
from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import require_head

_SQLITE = b"SQLite format 3\0"
_POSTGRESQL = b"PGDMP"
"""What the files of the two kinds begin with."""
_PAGES = 1000
"""How many pages SQLite copies at a time; between them it can be stopped."""


def back_up(db: Database, to: Path) -> int:
    """Write a copy of one moment's state to the new file *to*, for its owner alone; return its size in bytes.

    Writers go on meanwhile. SQLite is copied by its backup API, PostgreSQL by ``pg_dump`` (custom format, for ``pg_restore``).
    Raises Refused where the file is there already, or ``pg_dump`` is not.
    """
    if to.exists():
        raise Refused(f"cannot write the backup: {to} is there already; name another file")
    with _whole(to) as part:
        if db.file is not None:
            _copy(db.file, part)
        else:
            _run(db, "pg_dump", "--format=custom", "--file", str(part))
        return part.stat().st_size


def restore(db: Database, of: Path) -> None:
    """Fill the empty database with the backup *of*; raises Refused where it is not empty, BadInput for what is no backup.

    A backup of an older version has its older shape: ``fleet db upgrade`` brings it up to date.
    """
    began = _beginning(of)
    kind = {_SQLITE: "sqlite", _POSTGRESQL: "postgresql"}.get(
        next((k for k in (_SQLITE, _POSTGRESQL) if began.startswith(k)), b"")
    )
    if kind is None:
        raise BadInput(f"cannot restore {of}: it is no backup of Fleet's")
    if kind != db.dialect:
        raise BadInput(f"cannot restore {of}: it is a backup of {kind}, and the database is {db.dialect}")
    if db.file is not None:
        # It holds hashes of tokens and passwords; SQLite itself would let everyone read it.
        with suppress(OSError):
            db.file.touch(mode=0o600)
    with db.reading() as connection:
        if inspect(connection).get_table_names():
            raise Refused(f"cannot restore into {db.place}: it is not empty; name a new database (FLEET_DATABASE_URL)")
    if db.file is not None:
        _check_sqlite(of)
        _copy(of, db.file)
    else:
        _run(db, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", str(of))
    with suppress(Refused):
        require_head(db)


def _copy(source: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
            # Of one moment: SQLite would else begin anew whenever another program has written, and never come to an end
            # where one always writes.
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reading.backup(writing, pages=_PAGES)
    except sqlite3.Error as error:
        raise FleetError(f"cannot copy {source} to {target}: {error}") from error


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise BadInput(f"cannot restore {path}: {error}") from error
    if found != "ok":
        raise BadInput(f"cannot restore {path}: it is damaged: {found[:200]}")


def _run(db: Database, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's on the database; the password goes through the environment, which nobody else sees."""
    found = shutil.which(program)
    if found is None:
        raise Refused(f"cannot run {program}: it is not installed here; install PostgreSQL's client programs")
    url = db.engine.url
    password = url.password or url.query.get("password")
    bare = url.set(drivername="postgresql", password=None).difference_update_query(["password"])
    target = bare.render_as_string()
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    done = subprocess.run(
        [found, "--dbname", target, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()
        raise FleetError(f"cannot go on: {why[-1][:300] if why else f'{program} ended with {done.returncode}'}")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a file beside *path* to be written, which becomes *path* once it is whole and on the disk."""
    part = path.with_name(f".{path.name}.part")
    try:
        # Whatever stands there is no file of this backup: a link of somebody else would lead it elsewhere.
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(path)
    except OSError as error:
        raise FleetError(f"cannot write the backup {path}: {error.strerror or error}") from error
    finally:
        # SQLite leaves its journal where a disk is full.
        for left in (part, part.with_name(f"{part.name}-journal")):
            left.unlink(missing_ok=True)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(len(_SQLITE))
    except OSError as error:
        raise BadInput(f"cannot read the backup {path}: {error.strerror or error}") from error
