"""When the new container may run beside the old one, and what is told where it may not."""

from pathlib import Path
from typing import Any

import pytest

from fleet.engine.protocol import CreateSpec
from fleet.testing.engine_faults import KillNow
from fleet.testing.engine_images import Behaviour
from fleet.updates.command import Policy, UpdateOrder, VerifyPolicy
from fleet.updates.outcome import Result
from fleet.updates.overlap import hindrance, with_new_macs
from tests.updates.site import DATA, SHAPES, START_FIRST, Shape, Site, engine_says_no

pytestmark = pytest.mark.usefixtures("quick_disk")
POLICY = Policy(verify=VerifyPolicy(settle_ms=1_000), order=UpdateOrder.START_FIRST)


def in_network(**endpoint: Any) -> dict[str, Any]:
    """Return a create body that joins a network in which containers are found by their names."""
    return {"HostConfig": {"NetworkMode": "back"}, "NetworkingConfig": {"EndpointsConfig": {"back": endpoint}}}


FREE: dict[str, Shape] = {
    "no more than a program": Shape(policy=POLICY),
    "an alias": Shape(body=in_network(Aliases=["www"]), policy=POLICY),
    "a port that the engine chooses": Shape(
        body={"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}}, policy=POLICY
    ),
    "a volume that it reads": Shape(body={"HostConfig": {"Binds": ["named:/named:ro"]}}, policy=POLICY),
    "by the label alone": Shape(body=START_FIRST),
}
FIXED: dict[str, tuple[Shape, str]] = {
    "a port": (
        Shape(body={"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}}, policy=POLICY),
        "it publishes 80/tcp at the fixed port 8080 of the host",
    ),
    "an address": (
        Shape(body=in_network(Aliases=["www"], IPAMConfig={"IPv4Address": "10.9.0.7"}), policy=POLICY),
        "its address in the network back is fixed",
    ),
    "a MAC address": (
        Shape(body=in_network(Aliases=["www"], MacAddress="02:00:00:00:00:07"), policy=POLICY),
        "its MAC address in the network back is fixed, or the engine does not tell whether it is; the label"
        " fleet.update.mac=generated says that it is not",
    ),
    "a name": (
        Shape(body=in_network(), policy=POLICY),
        "it is known in the network back by its own name alone; give it a network alias",
    ),
    "a name on an old engine": (Shape(body=in_network(), policy=POLICY, api_version="1.41"), "by its own name alone"),
    "the host's network": (
        Shape(body={"HostConfig": {"NetworkMode": "host"}}, policy=POLICY),
        "it uses the network of the host",
    ),
    "data": (
        Shape(old_config=DATA, new_config=DATA, policy=POLICY),
        "both would write to /data; the label fleet.update.volumes=shared says that they may",
    ),
}


@pytest.mark.parametrize("what", FREE)
def test_where_nothing_is_there_but_once_the_new_one_starts_first(what: str, tmp_path: Path) -> None:
    site = Site(tmp_path, FREE[what])
    site.watch_for_gaps()
    outcome = site.update()
    assert (outcome.result, outcome.reason, outcome.downtime_ms) == (Result.UPDATED, "", 0)
    assert site.gaps == []
    calls = [call.name for call in site.engine.calls]
    assert calls.index("start") < calls.index("rename") < calls.index("stop") < calls.index("remove")
    site.assert_promise(outcome)


def test_of_macs_that_nobody_chose_the_chosen_one_stays() -> None:
    chosen, random = "02:11:22:33:44:55", "de:ad:00:00:00:07"
    endpoints = {"back": {"MacAddress": chosen, "Aliases": ["www"]}, "front": {"MacAddress": random}}
    spec = CreateSpec(
        name="web",
        body={"Image": "app:1", "NetworkingConfig": {"EndpointsConfig": endpoints}},
        connect=(("further", {"MacAddress": random, "Aliases": ["api"]}),),
    )
    config = {"MacAddress": chosen, "Labels": {"fleet.update.mac": "generated"}}
    freed = with_new_macs({"Config": config}, spec)
    assert freed.body["NetworkingConfig"]["EndpointsConfig"] == {"back": endpoints["back"], "front": {}}
    assert freed.connect == (("further", {"Aliases": ["api"]}),)
    assert with_new_macs({"Config": config | {"Labels": None}}, spec) == spec


def test_what_an_engine_says_nothing_of_hinders_nothing() -> None:
    old = {"Id": "a" * 64, "Config": {"Labels": None}, "NetworkSettings": {"Networks": None}, "Mounts": None}
    host = {"NetworkMode": None, "PortBindings": None}
    assert hindrance(old, CreateSpec(name="web.new", body={"HostConfig": host, "NetworkingConfig": None})) == ""
    assert hindrance(old | {"NetworkSettings": None}, CreateSpec(name="web.new", body={"HostConfig": {}})) == ""


@pytest.mark.parametrize("what", FIXED)
def test_what_is_there_but_once_has_the_old_one_stopped_first_and_is_told(what: str, tmp_path: Path) -> None:
    shape, told = FIXED[what]
    site = Site(tmp_path, shape)
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.reason.startswith("stopped first, cannot start first: ")
    assert told in outcome.reason
    calls = [call.name for call in site.engine.calls]
    assert calls.index("stop") < calls.index("start")
    site.assert_promise(outcome)


def test_the_label_wins_over_the_policy(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body={"Labels": {"fleet.update.order": "stop-first"}}, policy=POLICY))
    outcome = site.update()
    assert (outcome.result, outcome.reason) == (Result.UPDATED, "")
    calls = [call.name for call in site.engine.calls]
    assert calls.index("stop") < calls.index("start")


def test_a_label_that_cannot_be_read_touches_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body={"Labels": {"fleet.update.order": "new-first"}}))
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert "cannot read the label fleet.update.order: it takes stop-first or start-first" in outcome.reason
    assert site.engine.running()["web"] == site.before


def test_a_new_one_that_fails_costs_the_old_one_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["start first, a new one that gets unhealthy"])
    outcome = site.update()
    assert (outcome.result, outcome.downtime_ms) == (Result.FAILED, None)
    assert site.engine.running()["web"] == site.before
    assert site.engine.names() == ["bystander", "web"]


def test_killed_with_the_new_one_verified_and_named_the_next_agent_goes_forward(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["start first"])
    site.watch_for_gaps()
    site.engine.fail("stop", KillNow)
    outcome = site.live()
    assert outcome.result is Result.UPDATED
    assert site.gaps == []
    site.assert_promise(outcome)


def test_an_old_one_that_cannot_be_stopped_keeps_its_place(tmp_path: Path) -> None:
    """Two must not run: where the engine does not stop the old one, the new one goes again."""
    site = Site(tmp_path, Shape(body=START_FIRST, new=Behaviour(stop_takes_s=1)))
    site.engine.fail("stop", engine_says_no, times=3)
    outcome = site.update()
    assert outcome.result in (Result.FAILED, Result.ROLLED_BACK)
    site.assert_promise(outcome)
    site.assert_tidy()
