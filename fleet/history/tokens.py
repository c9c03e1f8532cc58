"""The bearer tokens of the API; only their SHA-256 is kept."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.database import Database
from fleet.history.words import Scope


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
    raise NotImplementedError


def tokens(db: Database) -> list[TokenRow]:
    """Return every token, by name."""
    raise NotImplementedError


def token_by_hash(db: Database, sha256: str) -> TokenRow | None:
    """Return the token that holds now, and note its use (to the minute); None where there is none."""
    raise NotImplementedError


def revoke_token(db: Database, name: str, *, by: str, door: str) -> TokenRow:
    """Take a token back; raises NotFound."""
    raise NotImplementedError
