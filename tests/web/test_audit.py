"""Whatever a caller changes stands in the audit, and so does what was refused: who, through which door, from where."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from fleet.history.registries import tags
from fleet.history.tables.words import Scope
from fleet.road.keys import SigningKey
from fleet.updates.outcome import Result
from fleet.web import refusals
from tests.controller.centre import NEW, Centre, ScriptedHost, nginx
from tests.web import test_doors
from tests.web.test_routes import API, IMAGE, carry_out

pytestmark = pytest.mark.redis

CHANGES_NOTHING = {
    ("POST", "/plans"),
    ("POST", "/rehearsals"),
    ("POST", "/mirrors/test"),
    ("POST", "/channels/x/preview"),
}
"""A plan is drawn, waves are gone through, mirrors are looked at: nothing is other than before."""


def _acts(http: TestClient, action: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"{API}/audit", params={"action": action, "limit": 500}).json()["acts"]
    return found


def test_each_act_that_a_token_may_not_do_is_written_down_as_refused(http: TestClient, port: TestClient) -> None:
    secret = http.post(f"{API}/tokens", json={"name": "reader", "scope": Scope.READ}).json()["secret"]
    wanted = [act for act in test_doors.TestScopes.ACTS if act[0] != "GET"]
    for method, path, _ in wanted:
        body = test_doors.TestScopes.BODIES.get(path) if method != "DELETE" else None
        headers = {"Authorization": f"Bearer {secret}"}
        assert port.request(method, f"{API}{path}", json=body, headers=headers).status_code == 403
    acts = _acts(http, "refused")
    assert [act["subject"] for act in reversed(acts)] == [f"{method} {API}{path}" for method, path, _ in wanted]
    assert {(act["who"], act["door"]) for act in acts} == {("token:reader", "api testclient")}
    assert all(act["details"]["why"].startswith("cannot do that with a token of scope read") for act in acts)


def test_who_may_only_read_cannot_fill_the_audit(
    http: TestClient, port: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept for ever. Others are written down all the same, and the same one again in the next hour."""
    monkeypatch.setattr(refusals, "MOST", 2)
    headers = [
        {"Authorization": f"Bearer {http.post(f'{API}/tokens', json={'name': name, 'scope': 'read'}).json()['secret']}"}
        for name in ("reader", "other")
    ]
    for _ in range(4):
        assert port.delete(f"{API}/hosts/x", headers=headers[0]).status_code == 403
    assert port.delete(f"{API}/hosts/x", headers=headers[1]).status_code == 403
    assert [act["who"] for act in _acts(http, "refused")] == ["token:other", "token:reader", "token:reader"]


def test_a_window_of_refusals_ends() -> None:
    counted = refusals.Refusals()
    assert [counted.are_told("a", now=0.0) for _ in range(refusals.MOST + 1)] == [True] * refusals.MOST + [False]
    assert not counted.are_told("a", now=refusals.WINDOW_S - 1)
    assert counted.are_told("a", now=refusals.WINDOW_S)


def test_who_proves_nothing_writes_nothing(http: TestClient, port: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer fpat_wrong"}):
        assert port.delete(f"{API}/hosts/web-1", headers=headers).status_code == 401
    assert _acts(http) == []


def test_what_cannot_be_done_now_is_written_down_and_what_is_only_read_is_not(
    http: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    centre.add_host("web-2")
    before = len(_acts(http))
    assert http.patch(f"{API}/hosts/web-2", json={"name": "web-1"}).status_code == 409
    assert http.get(f"{API}/hosts/nobody").status_code == 404
    (act, *_) = acts = _acts(http)
    assert (len(acts), act["action"], act["subject"]) == (before + 1, "refused", f"PATCH {API}/hosts/web-2")


def test_each_act_that_changes_something_is_written_down(
    http: TestClient, centre: Centre, web1: ScriptedHost, subtests: pytest.Subtests
) -> None:
    """Every route that changes something is gone through once; one that is missing here fails."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    left = {(method, path) for method, path, _ in test_doors.TestScopes.ACTS if method != "GET"} - CHANGES_NOTHING

    def act(method: str, path: str, names: str = "", **body: Any) -> dict[str, Any]:
        """Ask for *path* with *names* in place of its x."""
        left.discard((method, path))
        before = len(_acts(http))
        answer = http.request(method, API + path.replace("/x", f"/{names}"), json=None if method == "DELETE" else body)
        with subtests.test(method=method, path=path):
            assert answer.status_code in (200, 201), answer.text
            (newest, *_) = acts = _acts(http)
            assert len(acts) == before + 1
            assert newest["who"].startswith("person:")
            assert newest["door"] == "socket"
            assert newest["action"] != "refused"
            assert newest["subject"]
        found: dict[str, Any] = answer.json()
        return found

    act("POST", "/hosts", name="new", **_join("0"))
    act("PATCH", "/hosts/x", "new", labels={"env": "test"})
    act("POST", "/hosts/x/rejoin", "new", **_join("1"))
    act("DELETE", "/hosts/x", "new")
    act("POST", "/tokens", name="ci", scope="read")
    act("DELETE", "/tokens/x", "ci")
    act("POST", "/receivers", name="git")
    act("DELETE", "/receivers/x", "git")
    act("POST", "/channels", name="ops", url="https://chat.lan/hook")
    act("PATCH", "/channels/x", "ops", severity="error")
    act("POST", "/channels/x/test", "ops")
    act("POST", "/channels/x/retry", "ops")
    act("DELETE", "/channels/x", "ops")
    act("PUT", "/policies", document={"mirrors": [{"for": "*", "url": "https://harbor.lan"}]})
    act("PUT", "/caps/x", "site", most="1")
    act("DELETE", "/caps/x", "site")
    stop = act("POST", "/stops", kind="freeze", selector={"hosts": ["web-1"]}, reason="for the test")
    act("DELETE", "/stops/x", stop["stop"]["id"])
    act("POST", "/schedules", name="nightly", cron="0 3 * * *", zone="UTC", action="check")
    act("POST", "/schedules/x/run", "nightly")
    act("PATCH", "/schedules/x", "nightly", enabled=False)
    act("DELETE", "/schedules/x", "nightly")
    first = act("POST", "/updates", host="web-1", check=False)["rollout_id"]
    act("POST", "/rollouts/x/abort", first, reason="no")
    centre.turn()
    plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]["id"]
    second = act("POST", "/plans/x/apply", plan, spec_text="waves:\n  - {size: rest, approval: true}\n")["rollout_id"]
    act("POST", "/rollouts/x/pause", second, reason="lunch")
    act("POST", "/rollouts/x/resume", second)
    act("POST", "/rollouts/x/approve", second)
    carry_out(centre, web1)
    web1.snapshot(nginx(digest=NEW))
    centre.turn()
    way_back = act("POST", "/rollouts/x/undo", second)["rollout_id"]
    http.post(f"{API}/rollouts/{way_back}/abort", json={})
    centre.turn()
    act("POST", "/undo", host="web-1", container="web")
    assert left == {("POST", "/rollouts/x/waive"), ("POST", "/rollouts/x/retry")}, "those two are below"


def _join(sign: str) -> dict[str, str]:
    return {"public_key": str(SigningKey.generate().public), "password_sha256": sign * 64}


def test_what_a_person_says_of_a_wave_that_failed_is_written_down(
    http: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]["id"]
    text = "try: {max: 1}\nwaves:\n  - {size: rest, on_failure: hold}\n"
    answer = http.post(f"{API}/plans/{plan}/apply", json={"spec_text": text})
    assert answer.status_code == 200, answer.text
    rollout = answer.json()["rollout_id"]
    carry_out(centre, web1, Result.FAILED)
    for verb, status, action in (("retry", 200, "rollout retried"), ("waive", 409, "refused")):
        told = http.post(f"{API}/rollouts/{rollout}/{verb}", json={})
        (act, *_) = _acts(http)
        assert (told.status_code, act["action"]) == (status, action), told.text
