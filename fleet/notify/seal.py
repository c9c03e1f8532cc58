"""Secrets of channels, sealed: whoever has the public half of a key can write them, and its owner alone can read them.

A sealed text is a JWE (RFC 7516, ECDH-ES over X25519 with A256GCM), so that the database and its backups hold no secret.
"""

import base64
import hmac
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from fleet.errors import BadInput
from fleet.ids import new_id
from fleet.notify.links import SECRET_PREFIX
from fleet.road.keys import read_private, write_private
from fleet.updates.files import write_atomically

PRIVATE = "notifier.key"
"""Mode 0600, in the state directory; read by the notifier alone."""
PUBLIC = "notifier.pub"
_HEADER = {"alg": "ECDH-ES", "enc": "A256GCM"}
_CURVE: Literal["X25519"] = "X25519"


class Seal:
    """The half of the key that writes."""

    def __init__(self, key: OKPKey) -> None:
        """Wrap *key*."""
        self._key = key

    @classmethod
    def load(cls, state: Path) -> Self:
        """Return the seal of this installation; make its key where there is none yet. Raise BadInput for a broken file."""
        if not (state / PUBLIC).exists():
            Opener.load(state).publish(state)
        try:
            return cls(_key((state / PUBLIC).read_text(encoding="utf-8")))
        except OSError as e:
            raise BadInput(f"cannot read {state / PUBLIC}: {e.strerror}") from e

    def close(self, secret: dict[str, str]) -> str:
        """Return *secret* as only the notifier can read it."""
        return jwe.encrypt_compact(dict(_HEADER), json.dumps(secret).encode(), self._key)


class Opener:
    """The half of the key that reads."""

    def __init__(self, key: OKPKey) -> None:
        """Wrap *key*."""
        self._key = key

    @classmethod
    def load(cls, state: Path) -> Self:
        """Return the key in the state directory, made where there is none yet; raise BadInput where others may read it."""
        file = state / PRIVATE
        if not file.exists():
            _make(file)
        return cls(_key(read_private(file)))

    def publish(self, state: Path) -> None:
        """Write the half that seals beside it."""
        write_atomically(state / PUBLIC, json.dumps(self._key.as_dict(private=False)).encode(), mode=0o644)

    def open(self, sealed: str) -> dict[str, str]:
        """Return the secret; raise BadInput where it was sealed for another key."""
        try:
            found: dict[str, str] = json.loads(jwe.decrypt_compact(sealed, self._key).plaintext or b"")
        except (JoseError, ValueError) as e:
            # The cause may quote what was sealed, so it is not kept.
            raise BadInput(
                f"cannot read this channel's secrets: {type(e).__name__}; they were sealed for another {PRIVATE}:"
                " remove the channel and add it again"
            ) from None
        return found

    def secret_of(self, id: UUID) -> str:
        """Return what opens the link of this id: the same whenever it is asked for, and known to who has the key alone."""
        key = base64.urlsafe_b64decode(f"{self._key.as_dict(private=True)['d']}=")
        return SECRET_PREFIX + hmac.digest(key, b"fleet link " + id.bytes, "sha256").hex()


def _make(file: Path) -> None:
    """Make a key in *file*; of two that do so at once, the first one's stays."""
    fresh = file.with_name(f".{file.name}.{new_id().hex}")
    write_private(fresh, json.dumps(OKPKey.generate_key(_CURVE).as_dict(private=True)))
    try:
        with suppress(FileExistsError):
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()


def _key(text: str) -> OKPKey:
    try:
        fields: dict[str, Any] = json.loads(text)
        key = OKPKey.import_key(fields)
    except (JoseError, ValueError, KeyError, TypeError) as e:
        raise BadInput(f"cannot read the notifier's key: {type(e).__name__}") from None
    if key.curve_name != _CURVE:
        raise BadInput(f"cannot use a key on the curve {key.curve_name}; expected {_CURVE}")
    return key
