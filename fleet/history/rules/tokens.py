"""The bearer tokens of the API; only their SHA-256 is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from fleet.errors import BadInput, Refused
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.tables.road import tokens as table
from fleet.history.tables.words import Scope
from fleet.ids import new_id

USE_NOTED_EVERY = timedelta(minutes=1)
"""How exact ``last_used_at`` is: not every request writes."""

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One token, without its secret."""

    id: UUID
    name: str
    scope: Scope
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


def add_token(
    db: Database, *, name: str, sha256: str, scope: Scope, expires_at: datetime | None = None, by: str, door: str
) -> TokenRow:
    """Keep a new token's hash; raises Refused where the name is taken."""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadInput(f"cannot use {name[:40]!r} as a token's name; give 1 to {_LONGEST_NAME} printable characters")
    with db.writing() as connection:
        now = db.moment(connection)
        row = {"id": new_id(), "name": name, "sha256": sha256, "scope": scope, "created_by": by, "created_at": now}
        try:
            connection.execute(insert(table).values(**row, expires_at=expires_at))
        except IntegrityError:
            raise Refused(f"cannot create the token: the name {name!r} is taken") from None
        details = {"scope": scope.value}
        audit.note(connection, now, by=by, door=door, action="token create", subject=name, details=details)
        return _find(connection, name)


def tokens(db: Database) -> list[TokenRow]:
    """Return every token, by name."""
    with db.reading() as connection:
        return [_read(row) for row in connection.execute(select(table).order_by(table.c.name)).mappings()]


def token_by_hash(db: Database, sha256: str) -> TokenRow | None:
    """Return the token that holds now, and note its use (to the minute); None where there is none."""
    with db.reading() as connection:
        now = db.moment(connection)
        holds = (table.c.revoked_at.is_(None), or_(table.c.expires_at.is_(None), table.c.expires_at > now))
        row = connection.execute(select(table).where(table.c.sha256 == sha256, *holds)).mappings().one_or_none()
    if row is None:
        return None
    if row["last_used_at"] is None or row["last_used_at"] <= now - USE_NOTED_EVERY:
        with db.writing() as connection:
            connection.execute(update(table).where(table.c.id == row["id"]).values(last_used_at=now))
    return _read(row)


def revoke_token(db: Database, name: str, *, by: str, door: str) -> TokenRow:
    """Take a token back; raises NotFound."""
    with db.writing() as connection:
        found = _find(connection, name)
        now = db.moment(connection)
        held = (table.c.id == found.id, table.c.revoked_at.is_(None))
        connection.execute(update(table).where(*held).values(revoked_at=now))
        audit.note(connection, now, by=by, door=door, action="token revoke", subject=found.name)
        return _find(connection, found.name)


def _find(connection: Connection, name: str) -> TokenRow:
    return _read(find(connection, table, name, what="token", name="name"))


def _read(row: RowMapping) -> TokenRow:
    return TokenRow(**{name: value for name, value in row.items() if name != "sha256"})
