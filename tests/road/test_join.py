"""The join file: all that a host needs, readable by its owner alone, and its secrets shown nowhere."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from fleet.errors import BadInput
from fleet.road.broker import BrokerAddress
from fleet.road.join import JoinFile
from fleet.road.keys import SigningKey
from fleet.testing.certificates import TestAuthority

CENTRE = SigningKey.generate()


@pytest.fixture
def join(tmp_path: Path) -> JoinFile:
    """Make the file of a host whose broker speaks TLS."""
    ca = TestAuthority().write(tmp_path / "ca.pem")
    broker = BrokerAddress.parse("rediss://broker.example:6380/2", ca)
    keys = (CENTRE.public, SigningKey.generate().public)
    return JoinFile.make(
        host_id=uuid4().hex, host_name="berlin-1", broker=broker, password="tops3cret", centre_keys=keys
    )


def test_the_file_is_read_back_as_it_was_written(join: JoinFile, tmp_path: Path) -> None:
    join.write(tmp_path / "file")
    back = JoinFile.read(tmp_path / "file")
    assert back.text() == join.text()
    assert (back.host_id, back.host_name, back.broker) == (join.host_id, "berlin-1", join.broker)
    assert back.broker.username == f"host-{join.host_id}"
    assert [key.kid for key in back.centre_keys] == [key.kid for key in join.centre_keys]
    assert back.key.kid == join.key.kid


def test_its_secrets_are_not_in_its_repr(join: JoinFile) -> None:
    secrets = ("tops3cret", json.loads(join.key.private_text())["d"])
    assert not [secret for secret in secrets if secret in repr(join)]


def test_a_file_that_others_may_read_is_void(join: JoinFile, tmp_path: Path) -> None:
    join.write(tmp_path / "file")
    (tmp_path / "file").chmod(0o644)
    with pytest.raises(BadInput, match=r"its secrets are void"):
        JoinFile.read(tmp_path / "file")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot read .*nowhere"):
        JoinFile.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "berlin-1"),
        ("host", None),
        ("v", 2),
        ("centre_keys", []),
        ("centre_keys", [{"kty": "OKP"}]),
        ("key", {"kty": "OKP", "crv": "Ed25519", "x": "tops3cret"}),
        ("key", json.loads(str(CENTRE.public))),
        ("ca", "not PEM tops3cret"),
        ("ca", ""),
        ("broker", "redis://broker.example"),
        ("broker", "http://broker.example"),
        ("password", None),
        ("extra", "field"),
    ],
)
def test_a_broken_file_is_refused_and_never_quoted(join: JoinFile, field: str, value: object) -> None:
    form = json.loads(join.text()) | {field: value}
    if value is None:
        del form[field]
    with pytest.raises(BadInput, match=r"^cannot ") as caught:
        JoinFile.parse(json.dumps(form))
    assert "tops3cret" not in str(caught.value)
    assert caught.value.__cause__ is None or "tops3cret" not in str(caught.value.__cause__)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0"])
def test_what_is_no_join_file_says_how_to_make_one(text: str) -> None:
    with pytest.raises(BadInput, match=r"fleet host add"):
        JoinFile.parse(text, "host.join")


def test_a_broker_that_moved_keeps_the_hosts_login(join: JoinFile) -> None:
    moved = join.moved(BrokerAddress.parse("redis://127.0.0.1:7000"))
    assert (moved.broker.port, moved.broker.username) == (7000, join.broker.username)
    assert moved.key.kid == join.key.kid


def test_a_host_s_own_key_and_password_are_all_that_changes(join: JoinFile) -> None:
    own = SigningKey.generate()
    after = join.with_own(own, "made here")
    assert (after.key.kid, after.broker.password) == (own.kid, "made here")
    assert (after.broker.username, after.broker.host, after.host_id) == (
        join.broker.username,
        join.broker.host,
        join.host_id,
    )
    assert "tops3cret" not in after.text()


def test_plaintext_beyond_this_machine_must_have_been_said(join: JoinFile) -> None:
    form = json.loads(join.text()) | {"broker": "redis://broker.example:6379/0", "ca": "", "plaintext": True}
    assert JoinFile.parse(json.dumps(form)).broker.scheme == "redis"
