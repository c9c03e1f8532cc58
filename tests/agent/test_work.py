"""Work: pulled when ordered, recreated when told to go, each target with one outcome."""

from typing import Any

import pytest
from structlog.contextvars import get_contextvars

from fleet.agent.work import OWED_AGAIN_S
from fleet.errors import EngineError
from fleet.road.messages import Cancel, Go, Progress
from fleet.testing.engine_faults import KillNow
from fleet.updates.journal import CommandState
from fleet.updates.outcome import Result
from tests.agent.site import ID, Site

DEPENDS = "fleet.depends-on"


def test_an_order_is_pulled_and_no_container_touched_before_the_go(site: Site) -> None:
    site.run("web", "db")
    before = {name: found["Id"] for name, found in site.engine.running().items()}
    site.order("web", "db")
    site.work()
    assert site.state() is CommandState.READY
    assert site.pulls.made == ["web:1", "db:1"]
    assert {name: found["Id"] for name, found in site.engine.running().items()} == before
    assert site.put == []


def test_a_go_recreates_every_target_and_ends_the_command(site: Site) -> None:
    site.run("web", "db")
    site.order("web", "db")
    site.work()
    site.tell(Go(command=ID))
    assert site.work() == float("inf")
    assert site.results() == {"web": Result.UPDATED, "db": Result.UPDATED}
    assert site.state() is CommandState.DONE
    assert site.journal.updates() == []
    phases = [said.phase for said in site.said if isinstance(said, Progress) and said.container == "web"]
    assert phases == ["pull", "create", "stop", "start", "verify"]


def test_whatever_is_logged_on_the_way_names_the_command(site: Site) -> None:
    """So one update is followed by one id, which the history names too; what comes after it is not said to be of it."""
    seen: list[dict[str, Any]] = []
    site.pulls.during = lambda: seen.append(get_contextvars())
    site.run("web")
    site.order("web")
    site.work()
    assert (seen, get_contextvars()) == ([{"command": str(ID)}], {})


def test_what_runs_is_told_once_a_command_has_touched_it_all(site: Site) -> None:
    """So that whoever asks after an update is not told of the container before it."""
    site.run("web", "database")
    site.order("web", "database")
    site.work()
    assert site.changes == 0
    site.tell(Go(command=ID))
    site.work()
    assert site.changes == 1


def test_a_pull_that_failed_is_an_outcome_at_once_and_the_others_go_on(site: Site) -> None:
    site.run("web", "db")
    site.pulls.fails = {"web:1"}
    site.order("web", "db")
    site.work()
    (failed,) = site.put
    assert (failed.outcome.container, failed.outcome.result) == ("web", Result.FAILED)
    assert failed.pull is not None
    assert not failed.pull.ok
    assert site.state() is CommandState.READY
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"web": Result.FAILED, "db": Result.UPDATED}


def test_a_command_without_any_image_ends_without_a_go(site: Site) -> None:
    site.run("web")
    site.pulls.fails = {"web:1"}
    site.order("web")
    site.work()
    assert site.state() is CommandState.DONE


def test_what_policy_leaves_out_is_neither_pulled_nor_touched(site: Site) -> None:
    site.run("web")
    site.run("db", Labels={"fleet.ignore": "true"})
    site.order("web", "db")
    site.work()
    assert site.results() == {"db": Result.SKIPPED}
    assert site.pulls.made == ["web:1"]
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"db": Result.SKIPPED, "web": Result.UPDATED}


def test_a_container_that_went_while_the_go_was_awaited_is_skipped(site: Site) -> None:
    site.run("web")
    site.order("web")
    site.work()
    site.engine.remove("web", force=True)
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"web": Result.SKIPPED}


def test_a_cancel_stops_a_pull_under_way_and_leaves_no_outcome(site: Site) -> None:
    site.run("web", "db")
    site.order("web", "db")
    site.pulls.during = lambda: site.tell(Cancel(command=ID))
    site.work()
    assert site.pulls.made == ["web:1"]
    assert site.put == []
    assert site.state() is None


def test_a_cancel_of_what_is_ready_leaves_the_bytes_and_touches_nothing(site: Site) -> None:
    """So ends a pull ahead."""
    site.run("web")
    before = {name: found["Id"] for name, found in site.engine.running().items()}
    site.order("web")
    site.work()
    assert site.state() is CommandState.READY
    site.tell(Cancel(command=ID, reason="its bytes are there"))
    site.tell(Go(command=ID))
    site.work()
    assert ({name: found["Id"] for name, found in site.engine.running().items()}, site.put) == (before, [])
    assert site.pulls.made == ["web:1"]


def test_what_is_needed_is_recreated_first_and_who_asks_for_it_is_restarted_once(site: Site) -> None:
    site.run("db")
    site.run("api", Labels={DEPENDS: "db:restart"})
    site.run("web", Labels={DEPENDS: "api,db:restart"})
    site.run("job", Labels={DEPENDS: "db"})
    before = {name: found["State"]["StartedAt"] for name, found in site.engine.running().items()}
    ids = {name: found["Id"] for name, found in site.engine.running().items()}
    site.order("web", "db")
    site.work()
    site.go()
    site.work()
    assert [each.outcome.container for each in site.put] == ["db", "web"]
    after = site.engine.running()
    assert (after["api"]["Id"], after["job"]["Id"]) == (ids["api"], ids["job"])
    assert after["api"]["State"]["StartedAt"] != before["api"]
    assert after["job"]["State"]["StartedAt"] == before["job"]
    assert not (site.journal.path / "restarts").exists()


def test_who_asks_for_what_a_killed_agent_updated_is_restarted_by_the_next_one(site: Site) -> None:
    site.run("db")
    site.run("api", Labels={DEPENDS: "db:restart"})
    before = site.engine.running()["api"]

    def dies(write: str) -> None:
        if write == "update:remove":
            raise KillNow

    site.begin(dies)
    site.order("db")
    site.work()
    with pytest.raises(KillNow):
        site.go()
        site.work()
    site.begin()
    site.work()
    assert site.results() == {"db": Result.UPDATED}
    after = site.engine.running()["api"]
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]


def test_a_way_back_that_failed_is_gone_on_with_until_the_old_one_runs(site: Site) -> None:
    """The disk of the engine is full for a while: the centre hears so at once, and nobody has to start the container."""
    site.run("web")
    before = site.engine.running()["web"]["Id"]
    site.order("web")
    site.work()
    site.engine.fail("start", lambda: EngineError("cannot start: no space left on device", status=500), times=1000)
    site.tell(Go(command=ID))
    assert site.work() == OWED_AGAIN_S
    assert site.results() == {"web": Result.ROLLBACK_FAILED}
    assert site.work() == OWED_AGAIN_S
    site.engine.heal()
    assert site.work() == float("inf")
    assert site.engine.running()["web"]["Id"] == before
    assert site.results() == {"web": Result.ROLLBACK_FAILED}


def test_that_every_byte_is_there_is_told_at_once(site: Site) -> None:
    site.run("web")
    site.goes = True
    site.order("web")
    site.work()
    assert site.results() == {"web": Result.UPDATED}


def test_a_container_whose_needs_go_in_a_circle_is_skipped_by_name(site: Site) -> None:
    site.run("a", Labels={DEPENDS: "b"})
    site.run("b", Labels={DEPENDS: "a"})
    site.run("c")
    site.order("a", "b", "c")
    site.work()
    site.go()
    site.work()
    assert site.results() == {"a": Result.SKIPPED, "b": Result.SKIPPED, "c": Result.UPDATED}
    assert site.put[0].outcome.reason == "cannot update a: its needs go in a circle: a -> b -> a"
