"""Who lives in a namespace of what is updated goes with it, as one plan: all of them new, or all of them back."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fleet.engine.spec import led_to
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.testing.engine_faults import KillNow, When
from fleet.testing.engine_images import STEADY, Behaviour
from fleet.updates.command import Target
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Result, UpdateOutcome
from tests.updates.site import COMMAND, SHAPES, Shape, Site, lives_in, restart

pytestmark = pytest.mark.usefixtures("quick_disk")
KID = lives_in("Network", "web")
KID_UPDATE = UUID("0199a5a4-0000-7000-8000-000000000004")


def test_the_outcome_says_who_went_with_it(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["three that live with it, one of them at second hand"])
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.reason == "recreated with it: kid, linked, watcher"
    site.assert_promise(outcome)


def test_they_stop_before_it_and_start_after_it(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body=restart("always"), kids={"kid": KID}))
    ids = {found["Id"]: name for name, found in site.engine.running().items()}
    site.update()
    ids |= {found["Id"]: f"new {name}" for name, found in site.engine.running().items() if found["Id"] not in ids}
    acts = [(c.name, ids[c.arguments[0]]) for c in site.engine.calls if c.name in ("stop", "start")]
    assert acts == [("stop", "kid"), ("stop", "web"), ("start", "new web"), ("start", "new kid")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"HostConfig": {"NetworkMode": "container:web", "AutoRemove": True}}, "and is removed when it stops"),
        (KID | {"Labels": {"fleet.ignore": "true"}}, "job goes with it (NetworkMode container:"),
        (KID | {"Labels": {"com.docker.swarm.task.id": "1"}}, "belongs to a Swarm service"),
        (KID | {"Labels": {"fleet.hook.pre-update": "[1]"}}, "cannot read the label"),
    ],
)
def test_one_that_cannot_go_along_keeps_all(body: dict[str, Any], told: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.engine.run("job", "other:1", **body)
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert told in outcome.reason
    assert site.engine.running()["web"] == site.before


def test_one_that_does_not_run_is_made_anew_and_does_not_run(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body=restart("always")))
    site.engine.run("kid", "other:1", **lives_in("Network", "web", "no"))
    site.engine.stop("kid")
    assert site.update().result is Result.UPDATED
    kid, web = site.engine.inspect("kid"), site.engine.inspect("web")
    assert kid is not None
    assert web is not None
    assert kid["HostConfig"]["NetworkMode"] == f"container:{web['Id']}"
    assert not kid["State"]["Running"]


class Two:
    """A command that updates the lender and a kid."""

    def __init__(self, folder: Path, behaviour: Behaviour = STEADY) -> None:
        self.site = site = Site(folder, Shape(body=restart("always"), kids={"kid": KID}))
        self.kid = site.kids_before["kid"]
        self.image = site.engine.add_image("other:1", behaviour=behaviour, Labels={"v": "2"}).id
        digest = Digest.of(b"kid")
        self.target = Target(
            update_id=KID_UPDATE,
            container_id=self.kid["Id"],
            container="kid",
            image_id=self.kid["Image"],
            reference=Reference.parse("other:1"),
            digest=digest,
        )
        self.pull = replace(site.pull, pull_id=UUID(int=9), digest=str(digest), image_id=self.image)

    def update(self, target: Target, pull: PullOutcome, *siblings: tuple[Target, PullOutcome]) -> UpdateOutcome:
        """Carry one target out."""
        site = self.site
        return recreate_target(
            site.engine,
            Journal(site.path),
            target,
            site.shape.policy,
            pull,
            command_id=COMMAND,
            clock=site.clock,
            siblings=siblings,
        )


def test_a_kid_that_is_updated_too_is_recreated_once(tmp_path: Path) -> None:
    two = Two(tmp_path)
    outcome = two.update(two.site.target, two.site.pull, (two.target, two.pull))
    assert outcome.result is Result.UPDATED
    kid = two.site.engine.running()["kid"]
    assert (kid["Image"], kid["Config"]["Image"]) == (two.image, "other:1")
    calls = len(two.site.engine.calls)
    of_kid = two.update(two.target, two.pull)
    assert (of_kid.result, of_kid.reason, of_kid.update_id) == (Result.UPDATED, "", KID_UPDATE)
    assert (of_kid.old_container_id, of_kid.new_container_id) == (two.kid["Id"], kid["Id"])
    assert any(line.startswith("Config.Labels") for line in of_kid.config_diff)
    assert len(two.site.engine.calls) == calls


def test_a_kid_whose_own_pull_failed_goes_along_on_its_old_image(tmp_path: Path) -> None:
    two = Two(tmp_path)
    outcome = two.update(two.site.target, two.site.pull, (two.target, replace(two.pull, ok=False)))
    assert outcome.result is Result.UPDATED
    assert two.site.engine.running()["kid"]["Image"] == two.kid["Image"]


def test_a_kid_whose_new_image_fails_takes_all_back(tmp_path: Path) -> None:
    two = Two(tmp_path, Behaviour(exits_after_s=0.1, exit_code=1))
    outcome = two.update(two.site.target, two.site.pull, (two.target, two.pull))
    assert outcome.result is Result.ROLLED_BACK
    assert "kid, which goes with it: cannot keep the new container running" in outcome.reason
    of_kid = two.update(two.target, two.pull)
    assert of_kid.result is Result.ROLLED_BACK
    assert of_kid.reason.startswith("cannot update kid: it goes with web: ")
    running = two.site.engine.running()
    assert running["kid"]["Id"] == two.kid["Id"]
    assert running["web"]["Id"] == two.site.old_id


def test_the_outcomes_of_both_are_told_after_a_crash(tmp_path: Path) -> None:
    two = Two(tmp_path)
    two.site.engine.fail("remove", KillNow)
    with pytest.raises(KillNow):
        two.update(two.site.target, two.site.pull, (two.target, two.pull))
    ended = recover(two.site.engine, Journal(two.site.path), two.site.clock)
    assert {outcome.container: outcome.result for _, outcome in ended} == dict.fromkeys(("web", "kid"), Result.UPDATED)


def test_what_runs_already_is_not_started_anew_by_the_next_agent(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body=restart("always"), kids={"kid": KID}))
    site.engine.fail("remove", KillNow)
    with pytest.raises(KillNow):
        site.update()
    running = {name: found["State"]["StartedAt"] for name, found in site.engine.running().items()}
    (outcome,) = [outcome for _, outcome in recover(site.engine, Journal(site.path), site.clock)]
    assert outcome.result is Result.UPDATED
    after = {name: found["State"]["StartedAt"] for name, found in site.engine.running().items()}
    assert after == {name: running[name] for name in after}
    assert {"kid", "web"} <= set(after)


def test_a_stop_that_its_agent_left_under_way_takes_no_kid_along_later(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body=restart("always"), kids={"kid": KID}))
    site.engine.fail("stop", KillNow, when=When.LATE, late_s=5)
    outcome = site.live()
    assert (site.deaths, outcome.result) == (1, Result.ROLLED_BACK)
    site.assert_promise(outcome)


def test_references_lead_to_ids_and_not_to_namesakes() -> None:
    host = {
        "NetworkMode": "container:vpn",
        "PidMode": "host",
        "IpcMode": "container:other",
        "Links": ["vpn:tunnel", "db"],
    }
    led = led_to({"Image": "app", "HostConfig": host}, {"vpn": "new-id"})["HostConfig"]
    assert led == {
        "NetworkMode": "container:new-id",
        "PidMode": "host",
        "IpcMode": "container:other",
        "Links": ["new-id:tunnel", "db:db"],
    }
