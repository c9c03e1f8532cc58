"""What the broker must know of each host, and which hosts it has not been told of since that changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, case, delete, exists, select, update

from fleet.history.sql.database import Database
from fleet.history.tables.inventory import host_keys, hosts, rekeys

MUTED_FOR = timedelta(minutes=10)
"""How long a host that sent too much may append nothing; what it has to say waits on its disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRow:
    """One host, as the broker must know it."""

    host_id: UUID
    password_sha256: str
    """In hex."""
    next_sha256: str
    """Of the password that holds beside it while it is being replaced; empty: none does."""
    reads: tuple[int, ...] = ()
    """The message versions that its agent reads; empty: not known."""
    muted: bool = False
    """Whether its right to append is taken for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedLogin:
    """A login that the broker is to be told of."""

    login: LoginRow
    void: bool
    """Whether a password ceased to hold, so that who came in by it must go."""
    changed_at: datetime
    """When it changed; what changes again meanwhile is told again."""


def logins(db: Database) -> list[LoginRow]:
    """Return the login of every host that was not removed."""
    with db.reading() as connection:
        now = db.moment(connection)
        return [_read(row, now) for row in connection.execute(_all().order_by(hosts.c.id))]


def changed_logins(db: Database) -> list[ChangedLogin]:
    """Return the logins that changed and that the broker was not told of: a few, at first contacts."""
    with db.reading() as connection:
        return _changed(connection, db.moment(connection))


def note_told(db: Database, told: Iterable[ChangedLogin]) -> None:
    """Note that the broker knows these; a key that was replaced is forgotten with that."""
    rows = list(told)
    if not rows:
        return
    with db.writing() as connection:
        now = db.moment(connection)
        for row in rows:
            mine = rekeys.c.host_id == row.login.host_id
            if row.void:
                connection.execute(delete(rekeys).where(mine, rekeys.c.heard_at == row.changed_at))
            else:
                still = (mine, rekeys.c.asked_at == row.changed_at, rekeys.c.heard_at.is_(None))
                connection.execute(update(rekeys).where(*still).values(told_at=now))


def note_strangers(db: Database, host_ids: Iterable[str], gap: timedelta) -> None:
    """Note that somebody was turned away who tried to log in as these hosts (ids in hex).

    A host whose key is younger than *gap* tries its new password before it is let in, and is no stranger to itself.
    Tries that are further apart than *gap* begin anew.
    """
    ids = [UUID(id) for id in host_ids]
    if not ids:
        return
    with db.writing() as connection:
        now = db.moment(connection)
        young = exists().where(host_keys.c.host_id == hosts.c.id, host_keys.c.created_at > now - gap)
        mine = (hosts.c.id.in_(ids), hosts.c.removed_at.is_(None), ~young)
        goes_on = hosts.c.strangers_at > now - gap
        since = case((goes_on, hosts.c.strangers_since), else_=now)
        connection.execute(update(hosts).where(*mine).values(strangers_since=since, strangers_at=now))


def mute(db: Database, host_ids: Iterable[str]) -> list[LoginRow]:
    """Take the right to append from these hosts (ids in hex) for a while; return their logins."""
    ids = [UUID(id) for id in host_ids]
    with db.writing() as connection:
        now = db.moment(connection)
        connection.execute(update(hosts).where(hosts.c.id.in_(ids)).values(muted_at=now))
        return [_read(row, now) for row in connection.execute(_all().where(hosts.c.id.in_(ids)))]


def _changed(connection: Connection, now: datetime) -> list[ChangedLogin]:
    query = _all().add_columns(rekeys.c.asked_at, rekeys.c.heard_at)
    query = query.where(rekeys.c.host_id.is_not(None), rekeys.c.told_at.is_(None)).order_by(hosts.c.id)
    return [
        ChangedLogin(login=_read(row, now), void=row.heard_at is not None, changed_at=row.heard_at or row.asked_at)
        for row in connection.execute(query)
    ]


def _all() -> Select[Any]:
    known = (hosts.c.id, hosts.c.broker_password_sha256, hosts.c.reads, hosts.c.muted_at)
    columns = (*known, rekeys.c.password_sha256.label("next_sha256"))
    return select(*columns).outerjoin(rekeys, rekeys.c.host_id == hosts.c.id).where(hosts.c.removed_at.is_(None))


def _read(row: Any, now: datetime) -> LoginRow:
    following = row.next_sha256 or ""
    return LoginRow(
        host_id=row.id,
        password_sha256=row.broker_password_sha256,
        # Once the new one was heard it stands in both places.
        next_sha256="" if following == row.broker_password_sha256 else following,
        reads=row.reads,
        muted=row.muted_at is not None and now < row.muted_at + MUTED_FOR,
    )
