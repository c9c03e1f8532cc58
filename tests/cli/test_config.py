"""What is set and by what: never a secret, and a mistake by its name."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet

FILE = """
[broker]
url = "redis://fleet:hush-in-the-url@127.0.0.1:6379/0"

[planner]
batch = 7
tick_s = 3

[agent]
spool_gib = 2
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file, a variable over it, and a secret in a file of its own."""
    path = tmp_path / "fleet.toml"
    path.write_text(FILE)
    (tmp_path / "password").write_text("hush-in-the-file\n")
    monkeypatch.setenv("FLEET_CONFIG", str(path))
    monkeypatch.setenv("FLEET_PLANNER_TICK_S", "5")
    monkeypatch.setenv("FLEET_DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    return path


def _settings(fleet: Fleet, *words: str) -> dict[str, tuple[str, str]]:
    ran = fleet("config", "show", *words, "-o", "json")
    assert ran.code == 0, ran.err
    return {each["setting"]: (each["value"], each["origin"]) for each in json.loads(ran.out)["settings"]}


def test_each_setting_is_told_with_what_says_so(fleet: Fleet, file: Path) -> None:
    found = _settings(fleet)
    assert found["planner.batch"] == ("7", str(file))
    assert found["planner.tick_s"] == ("5.0", "FLEET_PLANNER_TICK_S")
    assert found["inbox.batch"] == ("500", "default")
    assert found["broker.plaintext"] == ("false", "default")
    assert _settings(fleet, "--of", "agent")["agent.spool_gib"] == ("2.0", str(file))


def test_no_secret_is_shown_in_any_form(fleet: Fleet, file: Path) -> None:
    found = _settings(fleet)
    assert found["broker.url"] == ("(secret)", str(file))
    assert found["database.password"] == ("(secret)", "FLEET_DATABASE_PASSWORD_FILE")
    assert found["broker.password"] == ("", "default")
    for form in ("table", "wide", "json", "jsonl", "csv"):
        ran = fleet("config", "show", "-o", form)
        assert "hush" not in ran.out + ran.err
        assert "broker.url" in ran.out


def test_what_can_be_used_is_said_to_be_so(fleet: Fleet) -> None:
    assert fleet("config", "validate").lines == ["the settings of the centre can be used"]
    assert json.loads(fleet("config", "validate", "--of", "agent", "-o", "json").out)["valid"] is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[planer]\nbatch = 7", "did you mean planner?"),
        ("[planner]\nbatch = 0", "planner.batch (FLEET_PLANNER_BATCH)"),
        ("[broker]\npassword = ['hush']", "broker.password"),
        ("[planner", "cannot read the settings"),
    ],
)
def test_a_mistake_is_told_by_its_name_and_without_its_value(fleet: Fleet, file: Path, text: str, said: str) -> None:
    file.write_text(text)
    for words in (("config", "validate"), ("config", "show")):
        ran = fleet(*words)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert said in ran.err
        assert "hush" not in ran.err
