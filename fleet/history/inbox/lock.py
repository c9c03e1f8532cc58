"""One at a time: two inboxes that read and trim the same list lose messages, and two that speak MQTT contradict each other."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from fleet.clock import Clock, SystemClock
from fleet.errors import BadInput, TimedOut
from fleet.history.sql.database import Database, database_errors


@dataclass(frozen=True, slots=True)
class Post:
    """What one process at a time may be."""

    name: str
    key: int
    """The key of its advisory lock."""


INBOX = Post("inbox", 0x666C656574)  # "fleet", as a number
MQTT = Post("mqtt", 0x666C656575)

_LOOK_AGAIN_S = 1.0

_TRY = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock_all()")
_HELD = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
    " AND classid = :high AND objid = :low AND objsubid = 1"
)


@dataclass(frozen=True, slots=True)
class InboxLock:
    """The right to be the one inbox, or whatever its post is."""

    held: Callable[[], bool]
    """Tells whether it still holds; asked before every trim."""
    writing: Callable[[], AbstractContextManager[Connection]]
    """Begins a transaction that cannot succeed once the lock is lost: on PostgreSQL, of the lock's own connection."""


@contextmanager
def lock(
    db: Database, *, state_dir: Path, wait_s: float | None = None, clock: Clock | None = None, post: Post = INBOX
) -> Iterator[InboxLock]:
    """Wait until no other is at the *post* (for ever, or *wait_s* seconds: then TimedOut), and keep others away."""
    file = state_dir / f"{post.name}.lock"
    locking = _postgresql_lock(db, post.key) if db.dialect == "postgresql" else _file_lock(db, file)
    with locking as (try_lock, held):
        _wait(try_lock, post, wait_s, clock or SystemClock())
        yield held


def _wait(try_lock: Callable[[], bool], post: Post, wait_s: float | None, clock: Clock) -> None:
    began = clock.monotonic()
    while not try_lock():
        if wait_s is not None and clock.monotonic() - began >= wait_s:
            raise TimedOut(f"cannot be the {post.name}: another one works")
        clock.sleep(_LOOK_AGAIN_S)


_Locking = tuple[Callable[[], bool], InboxLock]


@contextmanager
def _postgresql_lock(db: Database, key: int) -> Iterator[_Locking]:
    wanted, parts = {"key": key}, {"high": key >> 32, "low": key & 0xFFFFFFFF}
    with database_errors(db), db.engine.connect() as connection:

        def try_lock() -> bool:
            with connection.begin():
                return bool(connection.execute(_TRY, wanted).scalar_one())

        def held() -> bool:
            try:
                with connection.begin():
                    return bool(connection.execute(_HELD, parts).scalar_one())
            except SQLAlchemyError:
                return False

        @contextmanager
        def writing() -> Iterator[Connection]:
            with database_errors(db), connection.begin():
                yield connection

        try:
            yield try_lock, InboxLock(held, writing)
        finally:
            # Let go by name, since the server sees only a moment later that a connection is closed; and not back
            # into the pool, since the lock belongs to the session.
            with suppress(SQLAlchemyError), connection.begin():
                connection.execute(_UNLOCK)
            connection.invalidate()


@contextmanager
def _file_lock(db: Database, path: Path) -> Iterator[_Locking]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise BadInput(f"cannot open {path}: {e.strerror}") from e

    def try_lock() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return _same_file(descriptor, path)

    try:
        yield try_lock, InboxLock(lambda: _same_file(descriptor, path), db.writing)
    finally:
        os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    """Tell whether the locked file is still the one that others would lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
