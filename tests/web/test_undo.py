"""A container goes back to what it ran before, by a plan and a rollout like any other."""

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from fleet.history.registries import tags
from fleet.road.messages import Order
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost, nginx
from tests.web.test_routes import API, IMAGE, carry_out

pytestmark = pytest.mark.redis

UNDO = {"host": "web-1", "container": "web"}


@pytest.fixture
def updated(http: TestClient, centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """A host whose container was updated, and which told of it."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    http.post(f"{API}/updates", json={"host": "web-1", "check": False})
    carry_out(centre, web1)
    tell(centre, web1)
    return web1


def tell(centre: Centre, host: ScriptedHost, digest: str = NEW, labels: dict[str, str] | None = None) -> None:
    """Let the host tell that it runs the image of *digest* in a container of its own."""
    state = replace(nginx(), id="e" * 64, image_id=f"sha256:{'b' * 64}", digests=(digest,), labels=labels or {})
    host.snapshot(state)
    centre.turn()
    host.hear()


def test_the_way_back_is_ordered_although_the_tag_has_the_newer_digest(
    http: TestClient, centre: Centre, updated: ScriptedHost
) -> None:
    answer = http.post(f"{API}/undo", json=UNDO)
    assert answer.status_code == 200, answer.text
    (host,) = answer.json()["plan"]["hosts"]
    assert [(t["old_digest"], t["new_digest"]) for t in host["targets"]] == [(NEW, OLD)]
    rollout = http.get(f"{API}/rollouts/{answer.json()['rollout_id']}").json()["rollout"]
    assert rollout["reason"] == "undo of web on web-1"
    carry_out(centre, updated)
    tell(centre, updated, OLD)
    chain = http.get(f"{API}/history/chain", params=UNDO).json()["outcomes"]
    assert [(row["old_digest"], row["new_digest"]) for row in chain] == [(NEW, OLD), (OLD, NEW)]
    assert [(row["result"], row["back"]) for row in chain] == [("updated", True), ("updated", False)]


def test_the_host_is_ordered_the_old_digest_under_the_name_as_it_was_written(
    http: TestClient, centre: Centre, updated: ScriptedHost
) -> None:
    http.post(f"{API}/undo", json=UNDO)
    centre.turn()
    (offer,) = [each.message for each in updated.hear() if each.message.kind == "offer"]
    updated.claim(offer.command)
    centre.turn()
    (order,) = [each.message for each in updated.hear() if isinstance(each.message, Order)]
    (target,) = order.targets
    assert (target.digest, target.old_digest, target.container_id) == (OLD, NEW, "e" * 64)


def test_without_an_update_that_is_known_there_is_no_way_back(http: TestClient, web1: ScriptedHost) -> None:
    refused = http.post(f"{API}/undo", json=UNDO)
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("cannot undo web: no update is known")


def test_a_container_that_must_not_be_touched_is_left_alone(
    http: TestClient, centre: Centre, updated: ScriptedHost
) -> None:
    tell(centre, updated, labels={"fleet.ignore": "true"})
    assert http.post(f"{API}/undo", json=UNDO).json()["detail"] == "cannot undo web: its label fleet.ignore says so"


def test_what_is_not_there_is_not_found(http: TestClient, web1: ScriptedHost) -> None:
    assert http.post(f"{API}/undo", json={**UNDO, "container": "none"}).status_code == 404
    assert http.post(f"{API}/undo", json={**UNDO, "host": "none"}).status_code == 404
