"""The table [client]: a server that need not be said each time, and whose token goes nowhere else."""

from pathlib import Path

import pytest

from fleet.cli import profile
from fleet.cli.session import Session
from fleet.errors import BadInput
from tests.cli.conftest import Fleet


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of this user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "fleet").mkdir()
    return tmp_path / "fleet" / "config.toml"


def _write(config: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("fpat_x\n")
    config.write_text(f'[client]\nserver = "https://127.0.0.1:1"\ntoken_file = "{tmp_path / "token"}"\n')


def test_it_names_the_server_and_its_token(config: Path, tmp_path: Path) -> None:
    _write(config, tmp_path)
    with Session().client() as client:
        assert (client.address.url, client.address.token) == ("https://127.0.0.1:1", "fpat_x")


def test_the_token_goes_to_no_other_server(config: Path, tmp_path: Path) -> None:
    _write(config, tmp_path)
    with Session(server="https://127.0.0.1:2").client() as client:
        assert client.address.token == ""


def test_the_environment_comes_first(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(config, tmp_path)
    monkeypatch.setenv("FLEET_SOCKET", "/run/other.sock")
    with Session().client() as client:
        assert (str(client.address), client.address.token) == ("unix:///run/other.sock", "")


def test_without_one_it_is_the_socket_of_this_machine(config: Path) -> None:
    with Session().client() as client:
        assert str(client.address).endswith("fleet.sock")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[client]\nsevrer = 'x'\n", "did you mean server"),
        ("[client]\ntoken = 'x'\n", "cannot use client.token"),
        ("client = 1\n", "expected a table"),
        ("[client\n", "cannot read the settings"),
    ],
)
def test_what_cannot_be_used_is_told(config: Path, text: str, told: str) -> None:
    config.write_text(text)
    with pytest.raises(BadInput, match=told):
        profile.read()


def test_a_file_that_is_named_must_be_there(
    fleet: Fleet, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_CONFIG", str(tmp_path / "no.toml"))
    ran = fleet("ps")
    assert (ran.code, ran.err.startswith("cannot read the settings")) == (1, True)


def test_the_tables_of_the_centre_are_no_business_of_the_command(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fleet.toml").write_text("[web]\nlisten = '0.0.0.0:8443'\n")
    monkeypatch.setenv("FLEET_CONFIG", str(tmp_path / "fleet.toml"))
    assert profile.read() == {}
