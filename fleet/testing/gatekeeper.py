"""Who may read from the scriptable registry: anyone, those with a password, or those with a token."""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from fleet.testing.wire import Reply, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the registry asks for; made without arguments, nothing."""

    scheme: str = ""
    """Empty, ``basic`` or ``bearer``."""
    username: str = ""
    """Empty: a token is given to anyone."""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token that is taken by POST."""
    realm: str = ""
    """Another server's token URL; empty: ``/token`` of this one."""
    life_s: int = 300
    tells_life: bool = True
    """Whether the realm says how long a token lives."""
    token_field: str = "token"
    """What the realm's answer calls the token: OAuth 2 realms say ``access_token``."""


class Gatekeeper:
    """Checks proofs, and gives tokens."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._tokens: dict[str, float] = {}
        self.scopes: list[str] = []
        """The scopes that were asked for."""

    def revoke(self) -> None:
        """Make every token given so far worth nothing."""
        self._tokens.clear()

    def refusal(self, request: Request, own_url: str, repository: str) -> Reply | None:
        """Return the challenge for a request that proves too little, None for one that may pass."""
        proof = request.headers.get("authorization", "")
        if not self.access.scheme or self._passes(proof):
            return None
        challenge = 'Basic realm="fleet"'
        if self.access.scheme == "bearer":
            realm = self.access.realm or f"{own_url}/token"
            scope = f',scope="repository:{repository}:pull"' if repository else ""
            challenge = f'Bearer realm="{realm}",service="scriptable"{scope}'
        return refused(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})

    def token(self, request: Request) -> Reply:
        """Answer a request for a token, by GET with Basic or by POST with an identity token."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        self.scopes.append(request.query.get("scope", form.get("scope", "")))
        if request.method == "POST":
            known = bool(self.access.identity_token) and form.get("refresh_token") == self.access.identity_token
        else:
            known = not self.access.username or request.headers.get("authorization", "") == self._basic()
        if not known:
            return refused(401, "UNAUTHORIZED")
        token = secrets.token_urlsafe(16)
        self._tokens[token] = time.monotonic() + self.access.life_s
        life = {"expires_in": self.access.life_s} if self.access.tells_life else {}
        return as_json(200, {self.access.token_field: token, **life})

    def _passes(self, proof: str) -> bool:
        if self.access.scheme == "basic":
            return proof == self._basic()
        return proof.startswith("Bearer ") and time.monotonic() < self._tokens.get(proof[len("Bearer ") :], 0.0)

    def _basic(self) -> str:
        pair = f"{self.access.username}:{self.access.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()


def refused(status: int, code: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an error in the distribution API's form."""
    reply = as_json(status, {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]})
    reply.headers.update(headers or {})
    return reply


def as_json(status: int, document: object) -> Reply:
    """Return *document* as a JSON reply."""
    return Reply(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(document).encode())
