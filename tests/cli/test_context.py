"""Servers by name: kept, listed, used, named for one call; and a token goes to its own server alone."""

import json
from pathlib import Path

import pytest

from fleet.cli import profile
from fleet.cli.session import Session
from fleet.errors import BadInput
from tests.cli.conftest import Fleet

PARIS, ROME = "https://fleet.paris.lan:8443", "https://fleet.rome.lan:8443"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of this user, with a server of before."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "fleet" / "config.toml"
    path.parent.mkdir()
    path.write_text('# mine\n[client]\nserver = "https://fleet.old.lan"')
    (tmp_path / "token").write_text("fpat_paris\n")
    (tmp_path / "other").write_text("fpat_other\n")
    return path


@pytest.fixture
def two(fleet: Fleet, tmp_path: Path) -> None:
    """Two contexts, one with a token."""
    for words in (("paris", "--server", PARIS, "--token-file", str(tmp_path / "token")), ("rome", "--server", ROME)):
        ran = fleet("context", "add", *words)
        assert ran.code == 0, ran.err


def _goes(**said: str) -> tuple[str, str]:
    session = Session(told=set(said), **said)  # type: ignore[arg-type]
    address = session.address()
    return address.url, address.token


@pytest.mark.usefixtures("two")
def test_what_is_added_is_listed_and_leaves_the_file_as_it_was(fleet: Fleet, config: Path, tmp_path: Path) -> None:
    assert config.read_text().startswith('# mine\n[client]\nserver = "https://fleet.old.lan"\n\n[contexts.paris]\n')
    found = json.loads(fleet("context", "ls", "-o", "json").out)["contexts"]
    assert found[0] == {
        "name": "paris", "used": False, "server": PARIS, "token_file": str(tmp_path / "token"), "ca_file": ""
    }  # fmt: skip
    assert fleet("context", "ls", "-q").lines == ["paris", "rome"]


@pytest.mark.usefixtures("two")
def test_the_one_that_is_used_holds_until_another_or_none_is(fleet: Fleet) -> None:
    assert _goes() == ("https://fleet.old.lan", "")
    assert PARIS in fleet("context", "use", "paris").out
    assert _goes() == (PARIS, "fpat_paris")
    assert [line.split()[:2] for line in fleet("context", "ls").lines[1:]] == [["paris", "yes"], ["rome", "-"]]
    fleet("context", "use", "rome")
    assert _goes() == (ROME, "")
    fleet("context", "use")
    assert _goes() == ("https://fleet.old.lan", "")


@pytest.mark.usefixtures("two")
def test_one_call_may_name_another(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet("context", "use", "rome")
    assert _goes(context="paris") == (PARIS, "fpat_paris")
    assert _goes(server="https://fleet.oslo.lan") == ("https://fleet.oslo.lan", "")
    monkeypatch.setenv("FLEET_SOCKET", "/run/other.sock")
    assert _goes(context="paris") == (PARIS, "fpat_paris")
    assert _goes() == ("http://fleet", "")


@pytest.mark.usefixtures("two")
def test_a_token_of_the_environment_goes_to_no_context(fleet: Fleet, tmp_path: Path) -> None:
    """It belongs to another server; one that is named in the same call is meant."""
    session = Session(context="rome", token_file=str(tmp_path / "other"), told={"context"})
    assert session.address().token == ""
    assert _goes(context="rome", token_file=str(tmp_path / "other")) == (ROME, "fpat_other")


@pytest.mark.usefixtures("two")
def test_the_command_line_comes_before_the_environment(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_SERVER", "https://127.0.0.1:2")
    assert "fleet.paris.lan" in fleet("healthcheck", "--context", "paris").err
    monkeypatch.setenv("FLEET_CONTEXT", "rome")
    assert "cannot go to https://127.0.0.1:2 and to the context rome at once" in fleet("healthcheck").err
    assert "127.0.0.1:3" in fleet("healthcheck", "--server", "https://127.0.0.1:3").err


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("context", "use", "pariss"), 5, "did you mean paris?"),
        (("healthcheck", "--context", "nowhere"), 5, "see: fleet context ls"),
        (("context", "add", "paris", "--server", ROME), 6, "has one of this name"),
        (("context", "add", "oslo"), 1, "name it with --server"),
        (("context", "add", "a.b", "--server", ROME), 1, "as a context's name"),
        (("context", "add", "oslo", "--server", "http://fleet.oslo.lan"), 1, "use https://"),
        (("context", "add", "oslo", "--server", ROME, "--token-file", "-"), 1, "stands on stdin"),
    ],
)
def test_what_cannot_be_changes_nothing(
    fleet: Fleet, config: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    before = config.read_text()
    ran = fleet(*words)
    assert (ran.code, ran.out, said in ran.err) == (code, "", True), ran.err
    assert ran.err.startswith("cannot ")
    assert (config.read_text(), profile.used()) == (before, "")


@pytest.mark.parametrize(
    "text", ["contexts = 3", "[contexts]\nparis = 3", '[contexts.paris]\nsevrer = "x"', "[contexts.paris]\n"]
)
def test_a_context_that_cannot_be_used_is_told_by_its_place(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(BadInput, match=r"^cannot use (the context paris|contexts)"):
        profile.context("paris")
