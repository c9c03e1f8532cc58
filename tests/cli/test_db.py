"""``fleet db``: what looks after the database of this machine's centre."""

import json
from pathlib import Path

import pytest

from fleet.history.noted import audit
from fleet.history.sql.database import Database
from tests.cli.conftest import Fleet


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> str:
    """A new centre's database."""
    monkeypatch.setenv("FLEET_STATE_DIR", str(tmp_path / "state"))
    made = f"sqlite:///{tmp_path / 'fleet.db'}"
    monkeypatch.setenv("FLEET_DATABASE_URL", made)
    assert fleet("db", "upgrade").code == 0
    return made


def test_a_backup_is_written_and_brought_back_into_an_empty_database_alone(
    fleet: Fleet, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = fleet("db", "backup", str(tmp_path / "copy"))
    assert (ran.code, "written to" in ran.out) == (0, True), ran.err
    refused = fleet("db", "restore", str(tmp_path / "copy"))
    assert (refused.code, "not empty" in refused.err) == (6, True)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    monkeypatch.setenv("FLEET_DATABASE_URL", other)
    assert fleet("db", "restore", str(tmp_path / "copy")).code == 0
    db = Database.open(other)
    assert [act.action for act in audit.acts(db).items] == ["db restore"]
    db.close()


def test_check_stats_garbage_and_prune_answer(fleet: Fleet, url: str) -> None:
    checked = fleet("db", "check")
    assert (checked.code, {line.split()[0] for line in checked.lines[1:]}) == (0, {"PASS"}), checked.out
    assert json.loads(fleet("db", "stats", "-o", "json").out)["bytes"] > 0
    assert fleet("db", "stats").lines[-1].startswith("all")
    assert "nothing was refused" in fleet("db", "garbage").err
    assert fleet("db", "garbage", "00000000").code == 5
    assert fleet("db", "prune").out == "nothing was too old\n"


def test_facts_are_given_up_only_with_a_yes(fleet: Fleet, url: str) -> None:
    refused = fleet("db", "prune", "--keep", "730d")
    assert (refused.code, "--yes" in refused.err) == (6, True)
    assert fleet("db", "prune", "--keep", "730d", "--yes").code == 0
    db = Database.open(url)
    assert [act.action for act in audit.acts(db).items] == ["db prune"]
    db.close()


def test_a_database_of_another_shape_fails_the_check(
    fleet: Fleet, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.db").touch()
    monkeypatch.setenv("FLEET_DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    ran = fleet("db", "check")
    assert ran.code == 1
    assert "fleet db upgrade" in ran.out
    assert ran.err.startswith("cannot vouch")


@pytest.mark.parametrize("command", ["check", "current", "stats", "prune", "garbage", "backup"])
def test_a_database_that_is_not_there_is_named_and_not_made(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A slip in FLEET_DATABASE_URL leaves no empty file behind, and says where it looked."""
    file = tmp_path / "fleet.db"
    monkeypatch.setenv("FLEET_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FLEET_DATABASE_URL", f"sqlite:///{file}")
    ran = fleet("db", command, *([str(tmp_path / "copy")] if command == "backup" else []))
    assert (ran.code, ran.err.startswith(f"cannot find the database {file}; ")) == (5, True), ran.err
    assert list(tmp_path.iterdir()) == []
