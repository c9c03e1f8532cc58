"""Restarts that are due are made good, and none leaves a container stopped."""

from pathlib import Path

import pytest

from fleet.errors import EngineUnreachable
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.updates.restart import Restarts


@pytest.fixture
def engine() -> MemoryEngine:
    """Return an engine on which web runs."""
    made = MemoryEngine(ManualClock())
    made.add_image("web:1")
    made.run("web", "web:1")
    return made


def test_a_restart_that_was_cut_off_after_the_stop_is_ended_by_the_next_agent(
    engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts = Restarts(tmp_path / "restarts")
    restarts.add(["web"])

    def away(container: str) -> None:
        raise EngineUnreachable("cannot reach the engine")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "start", away)
        with pytest.raises(EngineUnreachable):
            restarts.carry_out(engine)
    assert "web" not in engine.running()
    Restarts(tmp_path / "restarts").carry_out(engine)
    assert "web" in engine.running()
    assert restarts.due() == ()


def test_each_is_due_once_and_what_was_started_anew_takes_no_other_along(tmp_path: Path) -> None:
    restarts = Restarts(tmp_path / "restarts")
    restarts.add(["web", "api", "web"])
    restarts.add(["job", "api"])
    restarts.drop(["api", "unknown"])
    assert Restarts(tmp_path / "restarts").due() == ("web", "job")
    restarts.drop(["web", "job"])
    assert restarts.due() == ()


def test_what_somebody_stopped_meanwhile_stays_stopped(engine: MemoryEngine, tmp_path: Path) -> None:
    restarts = Restarts(tmp_path / "restarts")
    restarts.add(["web", "gone"])
    engine.stop("web")
    restarts.carry_out(engine)
    assert "web" not in engine.running()
    assert restarts.due() == ()


def test_the_beginning_of_anothers_id_is_nobodys_name(engine: MemoryEngine, tmp_path: Path) -> None:
    """The engine finds a container by that as well."""
    found = engine.running()["web"]
    restarts = Restarts(tmp_path / "restarts")
    restarts.add([found["Id"][:12]])
    restarts.carry_out(engine)
    assert engine.running()["web"] == found
    assert restarts.due() == ()
