"""Ed25519 keys: made where they are used, written 0600, named by their thumbprint (RFC 7638)."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from fleet.errors import BadInput
from fleet.updates.files import write_atomically


class PublicKey:
    """The half of a key that verifies; it may be shown to anyone."""

    def __init__(self, key: OKPKey) -> None:
        """Wrap *key*; raise BadInput where it is not on the curve Ed25519."""
        if key.curve_name != "Ed25519":
            raise BadInput(f"cannot use a key on the curve {key.curve_name}; expected Ed25519")
        self._key = key

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a public key from its JWK (RFC 8037) in JSON; raise BadInput where it is none, or a private one."""
        fields = _jwk(text)
        if "d" in fields:
            raise BadInput("cannot take a private key where a public key belongs")
        return cls(_okp(fields))

    @cached_property
    def kid(self) -> str:
        """The name of this key: the thumbprint, the same for both halves."""
        return self._key.thumbprint()

    @property
    def jose(self) -> OKPKey:
        """The key as joserfc knows it."""
        return self._key

    def __str__(self) -> str:
        """Return the JWK of the public half, in JSON with sorted names."""
        return json.dumps(self._key.as_dict(private=False), sort_keys=True, separators=(",", ":"))


class SigningKey:
    """The half of a key that signs; it never leaves the machine that uses it, but in a join file."""

    def __init__(self, key: OKPKey) -> None:
        """Wrap *key*; raise BadInput where it is public or not on the curve Ed25519."""
        if not key.is_private:
            raise BadInput("cannot sign with a public key")
        self.public = PublicKey(key)
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the system's randomness."""
        return cls(OKPKey.generate_key("Ed25519"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a private key from its JWK in JSON; raise BadInput where it is none."""
        return cls(_okp(_jwk(text)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key that ``save`` wrote; raise BadInput where the file is missing, broken or readable by others."""
        return cls.parse(read_private(path))

    @property
    def kid(self) -> str:
        """The name of this key: the thumbprint, the same for both halves."""
        return self.public.kid

    @property
    def jose(self) -> OKPKey:
        """The key as joserfc knows it."""
        return self._key

    def private_text(self) -> str:
        """Return the JWK with its secret, in JSON: for a file of mode 0600 and nothing else."""
        return json.dumps(self._key.as_dict(private=True), sort_keys=True, separators=(",", ":"))

    def save(self, path: Path) -> None:
        """Write the key to *path*, readable by its owner alone."""
        write_private(path, self.private_text())


def write_private(path: Path, text: str) -> None:
    """Write *text* to *path* with mode 0600 and at once: readers see the old content or the new, also after a power
    cut.
    """
    write_atomically(path, text.encode())


def read_private(path: Path) -> str:
    """Return the text of *path*; raise BadInput where it cannot be read, or where others may read it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read {path}: {getattr(e, 'strerror', None) or 'not a text file'}") from e
    if mode & 0o077:
        raise BadInput(f"cannot use {path}: others may read it, so its secrets are void; run: chmod 600 {path}")
    return text


def _jwk(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as e:
        raise BadInput("cannot read a key: it is no JSON") from e
    if not isinstance(fields, dict) or fields.get("kty") != "OKP":
        raise BadInput("cannot read a key: it is no JWK of type OKP")
    return fields


def _okp(fields: dict[str, Any]) -> OKPKey:
    try:
        return OKPKey.import_key(fields)
    except (JoseError, ValueError, KeyError, TypeError) as e:
        # The cause may quote the key, so it is not kept.
        raise BadInput(f"cannot read a key: {type(e).__name__}") from None
