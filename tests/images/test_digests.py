"""Digests say what bytes are."""

import hashlib

import pytest

from fleet.errors import BadInput
from fleet.images.digest import Digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_of_bytes_is_their_sha256() -> None:
    """The digest of nothing is the known one."""
    assert str(Digest.of(b"")) == EMPTY
    assert Digest.parse(EMPTY) == Digest.of(b"")
    assert len({Digest.parse(EMPTY), Digest.of(b"")}) == 1


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_proves_by_its_own_algorithm(algorithm: str) -> None:
    """A digest proves the bytes it was made of, by whichever algorithm, and no others."""
    digest = Digest.parse(f"{algorithm}:{hashlib.new(algorithm, b'x').hexdigest()}")
    hasher = digest.hasher()
    hasher.update(b"x")
    assert hasher.hexdigest() == digest.hex
    assert digest.proves(b"x")
    assert not digest.proves(b"y")


@pytest.mark.parametrize(
    "text", ["", "sha256", "sha256:", "md5:" + "0" * 32, "sha256:" + "0" * 63, "sha256:" + "A" * 64, EMPTY + "\n"]
)
def test_other_text_is_refused(text: str) -> None:
    """An algorithm nobody uses, a wrong length and upper case are no digests."""
    with pytest.raises(BadInput, match=r"^cannot "):
        Digest.parse(text)
