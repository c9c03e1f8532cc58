"""The routes of looks at mirrors and of their audit."""

from starlette.testclient import TestClient

from fleet.api.form import PREFIX as API
from tests.controller.centre import ScriptedHost


def test_a_host_that_does_not_answer_is_named(http: TestClient, web1: ScriptedHost) -> None:
    answer = http.post(f"{API}/mirrors/test", json={"host": "web-1", "wait_s": 0})
    assert answer.status_code == 200
    assert answer.json()["unanswered"] == ["web-1"]
    assert http.get(f"{API}/mirrors/probes").json()["probes"] == []


def test_an_audit_counts_the_hosts(http: TestClient, web1: ScriptedHost) -> None:
    answer = http.get(f"{API}/mirrors/audit").json()
    assert (answer["findings"], answer["hosts"]) == ([], 1)
