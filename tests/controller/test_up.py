"""``fleet up``: what it says where it cannot be. What it does where it can is in tests/scenarios."""

import os
import subprocess
import sys
from pathlib import Path

FLEET = [sys.executable, "-m", "fleet.cli.main"]


def test_without_an_engine_it_says_so_and_starts_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = run_up("--state-dir", str(state), "--engine", f"unix://{tmp_path}/no.sock")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("cannot ping the engine: no answer from the engine at unix://")
    assert not (state / "fleet.db").exists()


def test_an_engine_address_that_is_none_is_refused(tmp_path: Path) -> None:
    done = run_up("--state-dir", str(tmp_path), "--engine", "carrier-pigeon")
    assert (done.returncode, done.stderr[:6]) == (1, "cannot")


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_up("--state-dir", str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert done.stderr.startswith("cannot make the state directory")


def test_a_setting_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = run_up("--state-dir", str(tmp_path), FLEET_PLANNER_TICKS="3")
    assert done.returncode == 1
    assert "did you mean FLEET_PLANNER_TICK_S?" in done.stderr


def run_up(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run ``fleet up`` where it is expected to end by itself."""
    return subprocess.run(
        [*FLEET, "up", *arguments], env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False
    )
