"""The routes of tokens."""

import secrets

from fastapi import APIRouter

from fleet.api.form import Done
from fleet.api.tokens import CreateToken, Token, TokenCreated, Tokens
from fleet.errors import BadInput
from fleet.history.rules import tokens
from fleet.web.callers import TOKEN_PREFIX, Admin, hash_of
from fleet.web.centre import ThisCentre

router = APIRouter(prefix="/tokens", tags=["tokens"])

TOKEN_BYTES = 32


@router.get("")
def list_tokens(centre: ThisCentre, _: Admin) -> Tokens:
    """List the tokens, without their secrets."""
    return Tokens(tokens=tuple(Token.model_validate(row) for row in tokens.tokens(centre.db)))


@router.post("", status_code=201)
def create_token(centre: ThisCentre, caller: Admin, body: CreateToken) -> TokenCreated:
    """Make a token; its secret is in this answer and nowhere else."""
    if body.expires_at is not None and body.expires_at <= centre.db.now():
        raise BadInput("cannot make a token that has expired already; give a later time")
    secret = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    row = tokens.add_token(
        centre.db,
        name=body.name,
        sha256=hash_of(secret),
        scope=body.scope,
        expires_at=body.expires_at,
        **caller.by(),
    )
    return TokenCreated(token=Token.model_validate(row), secret=secret)


@router.delete("/{name}")
def revoke_token(centre: ThisCentre, caller: Admin, name: str) -> Done:
    """Take a token back at once."""
    tokens.revoke_token(centre.db, name, **caller.by())
    return Done()
