"""Every refusal is a problem, and none tells of the inside."""

import json

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from fleet.web import answers
from fleet.web.doors import Behind

_HOST = {"name": "web-1", "public_key": "{}", "password_sha256": "0" * 64}

BAD: tuple[tuple[str, str, str | None, int, str], ...] = (
    ("GET", "/nowhere", None, 404, "cannot find /nowhere"),
    ("PUT", "/healthz", None, 405, "cannot do that: Method Not Allowed"),
    ("GET", "/api/v1/history?colour=red", None, 422, "cannot use colour"),
    ("GET", "/api/v1/history?since=yesterday", None, 422, "cannot use since"),
    ("GET", "/api/v1/history?limit=0", None, 422, "cannot use limit"),
    ("GET", "/api/v1/hosts?label=prod", None, 422, "cannot use 'prod' as a label"),
    ("GET", "/api/v1/hosts/nobody", None, 404, "cannot find"),
    ("GET", "/api/v1/rollouts/00000000", None, 404, "cannot find"),
    ("GET", "/api/v1/history/00000000", None, 404, "cannot find"),
    ("GET", "/api/v1/plans/00000000", None, 404, "cannot find"),
    ("GET", "/api/v1/mirrors/explain?image=NGINX", None, 422, "cannot use 'NGINX' as an image reference"),
    ("POST", "/api/v1/hosts", "{", 422, "cannot use the request: it is not JSON"),
    ("POST", "/api/v1/hosts", json.dumps(_HOST | {"name": "a b"}), 422, "cannot use name: a name has"),
    ("POST", "/api/v1/hosts", json.dumps(_HOST | {"password_sha256": "x"}), 422, "cannot use password_sha256"),
    ("POST", "/api/v1/hosts", '{"name": "web-1"}', 422, "cannot use public_key: Field required"),
    ("POST", "/api/v1/updates", '{"host": "nobody"}', 404, "cannot find"),
    ("POST", "/api/v1/plans", '{"selector": {"hosts": ["nobody"]}}', 404, "cannot find"),
    ("POST", "/api/v1/schedules", '{"name": "n", "cron": "x"}', 422, "cannot use 'x' as a schedule"),
    ("POST", "/api/v1/schedules", '{"name": "n", "cron": "0 3 * * *", "zone": "Mars"}', 422, "cannot use 'Mars'"),
    ("PUT", "/api/v1/policies", '{"document": {"mirrors": [{"url": "x"}]}}', 422, "cannot"),
    ("PUT", "/api/v1/policies", '{"kind": "label", "subject": "x", "document": {}}', 422, "cannot use 'x'"),
    ("PUT", "/api/v1/policies", '{"kind": "host", "subject": "x", "document": {}}', 404, "cannot find"),
    ("PUT", "/api/v1/policies", '{"subject": "x", "document": {}}', 422, "cannot name a subject"),
)


def test_bad_input_is_a_problem(http: TestClient, subtests: pytest.Subtests) -> None:
    for method, path, body, status, detail in BAD:
        with subtests.test(method=method, path=path):
            headers = {"Content-Type": "application/json"} if body else {}
            answer = http.request(method, path, content=body, headers=headers)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == status
            assert problem["detail"].startswith(detail)
            assert problem["type"] == f"urn:fleet:problem:{problem['code']}"


def test_what_nobody_expected_tells_nothing_of_the_inside() -> None:
    app = FastAPI()
    answers.install(app)

    @app.get("/breaks")
    def breaks() -> None:
        raise RuntimeError("the password is hunter2")

    answer = TestClient(app, raise_server_exceptions=False).get("/breaks")
    assert answer.status_code == 500
    assert answer.json()["code"] == "failed"
    assert "hunter2" not in answer.text and "RuntimeError" not in answer.text


def test_a_database_that_is_away_is_temporary(app: Behind, http: TestClient) -> None:
    state = app.app.state.centre.settings.state_dir  # type: ignore[attr-defined]
    (state / "fleet.db").rename(state / "away.db")
    (state / "fleet.db").mkdir()
    app.app.state.centre.db.close()  # type: ignore[attr-defined]
    answer = http.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database-unreachable"
    assert answer.json()["temporary"] is True


class TestDocument:
    """The API describes itself in full."""

    def test_every_operation_tells_what_it_answers(self, http: TestClient) -> None:
        document = http.get("/api/v1/openapi.json").json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                good = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
                (content,) = good[0]["content"].values()
                assert content["schema"], (method, path)
                problem = operation["responses"]["default"]["content"]
                assert list(problem) == ["application/problem+json"], (method, path)
                assert operation["description"], (method, path)

    def test_operations_have_names_of_their_own(self, http: TestClient) -> None:
        document = http.get("/api/v1/openapi.json").json()
        names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
        assert len(names) == len(set(names))

    def test_it_says_how_a_caller_proves_itself(self, http: TestClient) -> None:
        schemes = http.get("/api/v1/openapi.json").json()["components"]["securitySchemes"]
        assert schemes["HTTPBearer"]["scheme"] == "bearer"

    def test_no_page_loads_scripts_from_elsewhere(self, http: TestClient) -> None:
        assert http.get("/docs").status_code == 404
        assert http.get("/redoc").status_code == 404


def test_every_answer_names_its_schema(http: TestClient) -> None:
    for path in (
        "hosts",
        "containers",
        "outdated",
        "rollouts",
        "history",
        "mirrors",
        "policies",
        "schedules",
        "tokens",
    ):
        answer = http.get(f"/api/v1/{path}")
        assert json.loads(answer.text)["schema"] == "v1", path
