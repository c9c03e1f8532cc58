"""Keys: of one kind, named by their thumbprint, never read by others, never shown."""

import json
import os
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OKPKey

from fleet.errors import BadInput
from fleet.road.keys import PublicKey, SigningKey, read_private, write_private


def test_a_key_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "key")
    assert SigningKey.load(tmp_path / "key").private_text() == key.private_text()


def test_both_halves_have_one_name() -> None:
    key = SigningKey.generate()
    assert key.kid == key.public.kid == PublicKey.parse(str(key.public)).kid


def test_the_name_is_the_thumbprint_of_the_rfc() -> None:
    """RFC 8037, appendix A.3."""
    text = json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    assert PublicKey.parse(text).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_public_half_holds_no_secret() -> None:
    key = SigningKey.generate()
    secret = json.loads(key.private_text())["d"]
    assert secret not in str(key.public)
    assert secret not in repr(key) + str(key)


def test_a_private_key_is_not_taken_for_a_public_one() -> None:
    with pytest.raises(BadInput, match=r"^cannot take a private key"):
        PublicKey.parse(SigningKey.generate().private_text())


def test_a_public_key_does_not_sign() -> None:
    with pytest.raises(BadInput, match=r"^cannot sign with a public key"):
        SigningKey.parse(str(SigningKey.generate().public))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"kty": "OKP"}',
        '{"kty": "OKP", "crv": "Ed25519"}',
        '{"kty": "OKP", "crv": "Ed25519", "x": "!"}',
        json.dumps(OKPKey.generate_key("X25519").as_dict(private=False)),
        json.dumps(ECKey.generate_key("P-256").as_dict(private=False)),
        '{"kty": "oct", "k": "c2VjcmV0"}',
    ],
    ids=lambda text: text[:16],
)
def test_what_is_no_key_of_ours_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot (read|use) a key") as caught:
        PublicKey.parse(text)
    assert "secret" not in str(caught.value)


def test_a_private_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    os.umask(0)
    write_private(tmp_path / "file", "text")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_private_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    write_private(file, "text")
    file.chmod(mode)
    with pytest.raises(BadInput, match=r"^cannot use .*chmod 600"):
        read_private(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot read .*nowhere: No such file"):
        SigningKey.load(tmp_path / "nowhere")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o600)
    (tmp_path / "file").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"not a text file"):
        SigningKey.load(tmp_path / "file")
