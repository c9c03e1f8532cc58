"""The signed envelope: one JWS (RFC 7515) with ``alg = Ed25519`` (RFC 9864) around one message.

Down: ``iss=fleet, aud=host:<hex>``. Up: ``iss=host:<hex>, aud=fleet``, the key found by its kid, and the issuer must
own it. The times of a message from a host are not judged: its clock may be a day off, and its message id is spent
once it stands in the history.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, Literal, TypeVar
from uuid import UUID, uuid4

from joserfc import jws
from joserfc.errors import JoseError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.clock import Clock
from fleet.errors import BadInput, Untrusted
from fleet.road.keys import PublicKey, SigningKey
from fleet.road.messages import Down, Up
from fleet.road.versions import MAX_MESSAGE_BYTES, Message

ALGORITHM = "Ed25519"
CENTRE = "fleet"
"""How the centre is named as issuer and audience."""

DOWN_TTL_S = 3600
"""How long an order, go or offer holds where the sender names no other time; the planner sends again what is still
wanted.
"""

UP_TTL_S = 7 * 86400
"""Written into what hosts send, and not judged: an outcome may wait that long, and longer, for the centre."""

_HEADER = frozenset({"alg", "kid"})
"""All that a header may hold. Anything else (``crit``, ``jwk``, ``b64``) asks the reader for more trust than it has."""

MessageT = TypeVar("MessageT", bound=Message)


class _Registry(jws.JWSRegistry):
    max_payload_length = MAX_MESSAGE_BYTES


_REGISTRY = _Registry(algorithms=[ALGORITHM])


class _Claims(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    iss: str
    aud: str
    jti: UUID
    iat: int = Field(ge=0, lt=2**33)
    exp: int = Field(ge=0, lt=2**33)
    v: Literal[1] = 1


class _DownClaims(_Claims):
    msg: Down


class _UpClaims(_Claims):
    msg: Up


class _Sealing(_Claims):
    msg: Down | Up


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Generic[MessageT]):
    """A message whose signature, audience and shape were proved."""

    id: UUID
    """The message's own id (``jti``): who has seen it acts on it no second time."""
    issuer: str
    """``fleet``, or the host's id in hex."""
    kid: str
    issued_at: datetime
    """By the issuer's clock."""
    expires_at: datetime
    message: MessageT


KeyOwner = Callable[[str], tuple[str, PublicKey] | None]
"""From a kid to the host id (hex) that owns the key, and the key; None where nobody does."""


def host_name(host_id: str) -> str:
    """Return how a host is named as issuer and audience."""
    return f"host:{host_id}"


def seal(
    message: Message,
    *,
    key: SigningKey,
    issuer: str,
    audience: str,
    clock: Clock,
    ttl_s: int = DOWN_TTL_S,
    id: UUID | None = None,
) -> str:
    """Sign *message*; *issuer* and *audience* are ``fleet`` or a host's id in hex; raise BadInput where it is too
    large.
    """
    issued = int(clock.now().timestamp())
    claims = {
        "iss": _party(issuer),
        "aud": _party(audience),
        "jti": str(id or uuid4()),
        "iat": issued,
        "exp": issued + ttl_s,
    }
    body = _Sealing.model_validate({**claims, "msg": message}).model_dump_json(exclude_defaults=False)
    sealed: str
    try:
        sealed = jws.serialize_compact({"alg": ALGORITHM, "kid": key.kid}, body, key.jose, registry=_REGISTRY)
    except JoseError as e:
        raise BadInput(f"cannot sign a message: {e.error}") from e
    if len(sealed) > MAX_MESSAGE_BYTES:
        raise BadInput(f"cannot send a message of {len(sealed)} bytes; the most is {MAX_MESSAGE_BYTES}")
    return sealed


def open_down(sealed: str | bytes, *, keys: Mapping[str, PublicKey], host_id: str, now: datetime) -> Opened[Down]:
    """Prove and read what the centre wrote to *host_id*; raise Untrusted on any doubt.

    *keys* are the centre's, by kid. *now* is the centre's time as far as the host knows it, never the host's own clock.
    """
    kid, payload = _proved(sealed, keys.get)
    claims = _read(_DownClaims, payload)
    _expect(claims.iss == CENTRE, "it is not from the centre")
    _expect(claims.aud == host_name(host_id), "it is meant for another host")
    _expect(now.timestamp() < claims.exp, "it has expired")
    return _opened(claims, CENTRE, kid, claims.msg)


def open_up(sealed: str | bytes, *, keys: KeyOwner) -> Opened[Up]:
    """Prove and read what a host wrote to the centre; raise Untrusted on any doubt. The issuer is the host's id in
    hex.
    """
    owners: list[str] = []

    def key_of(kid: str) -> PublicKey | None:
        owned = keys(kid)
        if owned is None:
            return None
        owners.append(owned[0])
        return owned[1]

    kid, payload = _proved(sealed, key_of)
    claims = _read(_UpClaims, payload)
    _expect(claims.iss == host_name(owners[0]), "its issuer does not own the key")
    _expect(claims.aud == CENTRE, "it is not meant for the centre")
    return _opened(claims, owners[0], kid, claims.msg)


def _proved(sealed: str | bytes, key_of: Callable[[str], PublicKey | None]) -> tuple[str, bytes]:
    """Return the kid and the payload of a JWS whose signature holds."""
    _expect(len(sealed) <= MAX_MESSAGE_BYTES, "it is too large")
    try:
        found = jws.extract_compact(sealed.encode("ascii") if isinstance(sealed, str) else sealed, None, _REGISTRY)
        header = found.headers()
        _expect(set(header) == _HEADER and header["alg"] == ALGORITHM, "its header is not one of ours")
        kid = header["kid"]
        key = key_of(kid) if isinstance(kid, str) else None
        if key is None:
            raise Untrusted("cannot trust this message: nobody here knows its key")
        _expect(jws.validate_compact(found, key.jose, registry=_REGISTRY), "its signature is wrong")
        return kid, found.payload
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as e:
        raise Untrusted(f"cannot trust this message: {type(e).__name__}") from e


ClaimsT = TypeVar("ClaimsT", bound=_Claims)


def _read(model: type[ClaimsT], payload: bytes) -> ClaimsT:
    try:
        return model.model_validate_json(payload)
    except (ValidationError, BadInput) as e:
        raise Untrusted(
            f"cannot trust this message: its content has not the shape of version 1 ({type(e).__name__})"
        ) from e


def _opened(claims: _Claims, issuer: str, kid: str, message: MessageT) -> Opened[MessageT]:
    issued = datetime.fromtimestamp(claims.iat, UTC)
    expires = issued + timedelta(seconds=claims.exp - claims.iat)
    return Opened(id=claims.jti, issuer=issuer, kid=kid, issued_at=issued, expires_at=expires, message=message)


def _party(name: str) -> str:
    return CENTRE if name == CENTRE else host_name(name)


def _expect(holds: bool, reason: str) -> None:
    if not holds:
        raise Untrusted(f"cannot trust this message: {reason}")
