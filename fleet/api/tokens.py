"""Tokens: who may speak to the API from elsewhere, and what they may do."""

from datetime import datetime
from uuid import UUID

from fleet.api.form import Answer, Instant, Name, Part, Request
from fleet.history.tables.words import Scope


class Token(Part):
    """One token; the secret itself is nowhere."""

    id: UUID
    name: str
    scope: Scope
    created_by: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class Tokens(Answer):
    """All tokens."""

    tokens: tuple[Token, ...]


class CreateToken(Request):
    """Make a token."""

    name: Name
    scope: Scope = Scope.READ
    expires_at: Instant | None = None


class TokenCreated(Answer):
    """The new token; its secret is shown this one time."""

    token: Token
    secret: str
