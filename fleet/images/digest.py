"""The digest of some bytes: what they are, whoever serves them."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol, Self

from fleet.errors import BadInput

_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
"""The algorithms that Docker's parser accepts, with the length of their digests in hex digits."""
_HEX = re.compile(r"[0-9a-f]+")


class Hasher(Protocol):
    """A hash that bytes are fed to."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far, in hex digits."""
        ...


@dataclass(frozen=True, slots=True)
class Digest:
    """An algorithm and the hex digits it gave: ``sha256:2cf2...``."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``algorithm:hex``; raise BadInput for an algorithm unknown here, a wrong length or upper case."""
        algorithm, colon, digits = text.partition(":")
        length = _HEX_LENGTHS.get(algorithm)
        if not colon or length is None:
            raise BadInput(f"cannot use {text[:80]!r} as a digest; expected sha256:, sha384: or sha512: and hex digits")
        if len(digits) != length or not _HEX.fullmatch(digits):
            raise BadInput(f"cannot use {text[:160]!r} as a digest; {algorithm} has {length} lower-case hex digits")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the sha256 digest of *content*."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    def hasher(self) -> Hasher:
        """Return an empty hash of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def proves(self, content: bytes) -> bool:
        """Tell whether *content* has this digest."""
        return hashlib.new(self.algorithm, content).hexdigest() == self.hex

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        """Return ``algorithm:hex``."""
        return f"{self.algorithm}:{self.hex}"
