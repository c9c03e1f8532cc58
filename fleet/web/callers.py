"""Who asks, and what they may do."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from fleet.errors import AuthNeeded
from fleet.history.rules.tokens import token_by_hash
from fleet.history.tables.words import Scope
from fleet.web.centre import Centre, ThisCentre
from fleet.web.doors import Door, door_of, peer_of

TOKEN_PREFIX = "fpat_"  # noqa: S105
"""What every token begins with, so that scanners of leaked secrets find it."""

_ORDER = (Scope.READ, Scope.WRITE, Scope.ADMIN)
BEARER = HTTPBearer(
    auto_error=False, description="A token of `fleet token create`; not needed at the machine's own unix socket."
)
"""Where a token stands in a request."""


class Forbidden(AuthNeeded):
    """cannot do that with this token's scope"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, through which door."""

    who: str
    """``person:NAME`` at the socket, ``token:NAME`` at the port."""
    door: Door
    scope: Scope
    address: str = ""
    """From where, at the port; empty: not known, or this machine."""

    def by(self) -> dict[str, Any]:
        """Return what acts are told, for the audit."""
        return {"by": self.who, "door": f"{self.door.value} {self.address}".strip()}


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def identify(
    request: Request, centre: ThisCentre, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
) -> Caller:
    """Return who asks; raise AuthNeeded where that is not proved."""
    caller = caller_of(request, centre, bearer.credentials if bearer else None)
    request.state.caller = caller  # for what is said of a refusal
    return caller


def caller_of(request: Request, centre: Centre, token: str | None) -> Caller:
    """Return who asks with *token*; raise AuthNeeded where that is not proved."""
    door = door_of(request.scope)
    if door is Door.SOCKET:
        request.state.proved = True
        return Caller(who=f"person:{peer_of(request.scope)}", door=door, scope=Scope.ADMIN)
    if door is None or token is None:
        raise AuthNeeded("cannot proceed without a token; make one with fleet token create, and use --token-file FILE")
    row = token_by_hash(centre.db, hash_of(token))
    if row is None:
        raise AuthNeeded("cannot proceed with this token: it is wrong, expired or revoked; see: fleet token ls")
    request.state.proved = True
    address = request.client.host if request.client else ""
    return Caller(who=f"token:{row.name}", door=door, scope=row.scope, address=address)


def may_write(request: Request, centre: Centre) -> None:
    """Raise AuthNeeded or Forbidden, unless who asks may order something."""
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    demand(caller_of(request, centre, token if scheme.lower() == "bearer" and token else None), Scope.WRITE)


def _may(needed: Scope) -> Callable[[Caller], Caller]:
    def check(caller: Annotated[Caller, Depends(identify)]) -> Caller:
        return demand(caller, needed)

    return check


def demand(caller: Caller, needed: Scope) -> Caller:
    """Return *caller*; raise Forbidden where it may not do what needs this scope."""
    if _ORDER.index(caller.scope) < _ORDER.index(needed):
        raise Forbidden(f"cannot do that with a token of scope {caller.scope}: it needs {needed}")
    return caller


Reader = Annotated[Caller, Depends(_may(Scope.READ))]
"""May look at everything."""
Writer = Annotated[Caller, Depends(_may(Scope.WRITE))]
"""May order updates, and change schedules and policies."""
Admin = Annotated[Caller, Depends(_may(Scope.ADMIN))]
"""May add and remove hosts and tokens."""
