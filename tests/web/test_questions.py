"""What the routes of the history's questions say of an update that was carried out."""

import pytest
from starlette.testclient import TestClient

from fleet.history.registries import tags
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost
from tests.web.test_routes import API, IMAGE, carry_out

pytestmark = pytest.mark.redis


@pytest.fixture
def updated(http: TestClient, centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """A host whose container was updated."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    http.post(f"{API}/updates", json={"host": "web-1", "check": False})
    carry_out(centre, web1)
    return web1


def test_a_mistake_in_a_query_is_told_with_its_place(http: TestClient) -> None:
    answer = http.get(f"{API}/history", params={"q": "host:web-1 mirorr:x"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("cannot understand the query at character 12: there is no word mirorr")


def test_what_changed_and_what_was_before_is_told(http: TestClient, updated: ScriptedHost) -> None:
    (change,) = http.get(f"{API}/history/changes", params={"host": "web-1", "since": "1h"}).json()["changes"]
    assert (change["before"], change["after"], change["changed"]) == (OLD, NEW, 1)
    chain = http.get(f"{API}/history/chain", params={"host": "web-1", "container": change["container"]}).json()
    assert [(row["old_digest"], row["new_digest"]) for row in chain["outcomes"]] == [(OLD, NEW)]


def test_who_runs_what_is_told_as_the_host_told_it(http: TestClient, updated: ScriptedHost) -> None:
    (runs,) = http.get(f"{API}/history/who-runs", params={"wanted": "nginx"}).json()["runs"]
    assert (runs["host"], runs["container"]) == ("web-1", "web")
    assert http.get(f"{API}/history/who-runs", params={"wanted": "f" * 64}).json()["runs"] == []


def test_mirrors_durations_and_comparison_answer(http: TestClient, updated: ScriptedHost) -> None:
    assert http.get(f"{API}/history/durations", params={"q": "host:web-1"}).json()["looked_at"] == 1
    assert http.get(f"{API}/history/mirrors", params={"since": "1d"}).status_code == 200
    assert http.get(f"{API}/history/compared").status_code == 200


@pytest.mark.parametrize("path", ["changes?host=x&since=soon", "mirrors?until=2026-13-01", "durations?q=x:y"])
def test_a_time_or_query_that_is_none_is_refused(http: TestClient, path: str) -> None:
    assert http.get(f"{API}/history/{path}").status_code == 422


@pytest.mark.parametrize(
    "path",
    ["changes?host=a%00", "chain?host=a&container=b%00", "who-runs?wanted=nginx&page={id}.%00", "who-runs?wanted=%00"],
)
def test_a_nul_is_refused_before_the_database_is_asked(http: TestClient, path: str) -> None:
    """PostgreSQL has no text with one in it, and would break the request off."""
    answer = http.get(f"{API}/history/{path.format(id='0' * 32)}")
    assert (answer.status_code, "NUL" in answer.json()["detail"]) == (422, True)


def test_the_audit_tells_who_did_what(http: TestClient, updated: ScriptedHost) -> None:
    acts = http.get(f"{API}/audit").json()["acts"]
    assert acts
    who = next(act["who"] for act in acts if act["who"].startswith("person:"))
    assert http.get(f"{API}/audit", params={"who": who.partition(":")[2]}).json()["acts"] != []
    assert http.get(f"{API}/audit", params={"who": "nobody"}).json()["acts"] == []
    assert http.get(f"{API}/audit", params={"action": acts[0]["action"], "limit": 1}).json()["acts"] == acts[:1]


def test_the_audit_has_no_door_through_which_it_could_be_changed(http: TestClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert http.request(method, f"{API}/audit").status_code == 405
