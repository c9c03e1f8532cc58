"""What the routes say of a centre with hosts: the way of an update from the plan to the history, and everything beside."""

import os
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from fleet.errors import BrokerUnreachable, DatabaseUnreachable
from fleet.history.registries import tags
from fleet.road.messages import Heartbeat, HostFacts, Order
from fleet.settings.centre import CentreSettings
from fleet.testing.registry import ScriptedRegistry
from fleet.updates.outcome import Result
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost, nginx

API = "/api/v1"
IMAGE = "docker.io/library/nginx:1"


def _move_tag(centre: Centre) -> None:
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")


def carry_out(centre: Centre, host: ScriptedHost, result: Result = Result.UPDATED) -> None:
    """Play the host's part of one command to its end."""
    centre.turn()
    (offer,) = [o.message for o in host.hear() if o.message.kind == "offer"]
    host.claim(offer.command)
    centre.turn()
    (order,) = [o.message for o in host.hear() if isinstance(o.message, Order)]
    host.ready(order)
    centre.turn()
    host.hear()
    for outcome in host.outcomes(order, result):
        host.say(outcome)
    centre.turn()


class TestHosts:
    def test_a_host_is_shown_with_what_it_told(self, http: TestClient, web1: ScriptedHost) -> None:
        (host,) = http.get(f"{API}/hosts").json()["hosts"]
        assert (host["name"], host["state"], host["agent_version"]) == ("web-1", "online", "0.1.0")

    def test_no_secret_of_a_host_is_shown(self, http: TestClient, web1: ScriptedHost) -> None:
        text = http.get(f"{API}/hosts/web-1").text
        assert "sha256" not in text and "password" not in text

    def test_hosts_are_chosen_by_name_and_label(self, http: TestClient, centre: Centre) -> None:
        for name in ("web-1", "web-2", "db-1"):
            centre.add_host(name)
        http.patch(f"{API}/hosts/web-2", json={"labels": {"env": "prod"}})
        found = http.get(f"{API}/hosts", params={"host": "web-*", "label": "env=prod"}).json()["hosts"]
        assert [host["name"] for host in found] == ["web-2"]

    def test_all_labels_and_some_of_them_do_not_go_together(self, http: TestClient, web1: ScriptedHost) -> None:
        answer = http.patch(f"{API}/hosts/web-1", json={"labels": {"a": "1"}, "drop_labels": ["b"]})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-input")
        assert http.get(f"{API}/hosts/web-1").json()["host"]["labels"] == {}

    def test_renaming_keeps_the_id(self, http: TestClient, web1: ScriptedHost) -> None:
        changed = http.patch(f"{API}/hosts/web-1", json={"name": "web-9"}).json()["host"]
        assert (changed["name"], changed["id"].replace("-", "")) == ("web-9", web1.id.hex)

    def test_a_taken_name_is_refused(self, http: TestClient, web1: ScriptedHost, centre: Centre) -> None:
        centre.add_host("web-2")
        answer = http.patch(f"{API}/hosts/web-2", json={"name": "web-1"})
        assert (answer.status_code, answer.json()["code"]) == (409, "refused")

    def test_a_removed_host_is_gone(self, http: TestClient, web1: ScriptedHost) -> None:
        assert http.delete(f"{API}/hosts/web-1").json() == {"schema": "v1", "done": True}
        assert http.get(f"{API}/hosts/web-1").status_code == 404

    def test_a_host_of_a_broken_key_is_not_added(self, http: TestClient, centre: Centre) -> None:
        body = {"name": "x", "public_key": "no key", "password_sha256": "0" * 64}
        assert http.post(f"{API}/hosts", json=body).status_code == 422
        assert http.get(f"{API}/hosts").json()["hosts"] == []


class TestUpdates:
    def test_what_is_not_checked_is_unknown_and_never_fresh(self, http: TestClient, web1: ScriptedHost) -> None:
        answer = http.get(f"{API}/outdated").json()
        assert [c["status"] for c in answer["containers"]] == ["unknown"]
        assert answer["current"] == 0

    def test_a_moved_tag_makes_it_outdated(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        _move_tag(centre)
        (found,) = http.get(f"{API}/outdated").json()["containers"]
        assert (found["status"], found["old_digest"], found["new_digest"]) == ("outdated", OLD, NEW)

    def test_a_plan_says_what_and_from_where(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        _move_tag(centre)
        mirrors = [{"for": "docker.io", "url": "https://harbor.lan"}]
        assert http.put(f"{API}/policies", json={"document": {"mirrors": mirrors}}).status_code == 200
        plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
        (target,) = plan["hosts"][0]["targets"]
        assert (target["container"], target["old_digest"], target["new_digest"]) == ("web", OLD, NEW)
        assert target["route"] == ["https://harbor.lan", "https://registry-1.docker.io"]
        assert plan["rollout_id"] is None

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ({"budget": {"fail_fast": {"failed_pct": True}}}, "budget.fail_fast.failed_pct: "),
            ({"windows": [{"start": "22:00", "duration_ms": "7200000"}]}, "windows.0.duration_ms: "),
            ({"waves": [{"size": 1}]}, "waves.0: the last wave must take what is left"),
            ({"windows": [{"start": "22:00", "duration_ms": 60_000}]}, "windows.0: the cut-off is longer"),
            (
                {"windows": [{"start": "22:00", "duration_ms": 7_200_000, "zone": "Mars/Olympus"}]},
                "windows.0.zone: give a time zone",
            ),
            (
                {"freezes": [{"begins_at": "0001-01-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"}]},
                "freezes.0: give a time from the year 2000",
            ),
        ],
    )
    def test_a_spec_that_comes_as_a_document_is_judged_like_one_that_was_written(
        self, http: TestClient, spec: dict[str, object], said: str
    ) -> None:
        answer = http.post(f"{API}/plans", json={"check": False, "spec": spec})
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.json()

    def test_a_plan_says_what_will_change_in_the_configuration(self, http: TestClient, centre: Centre) -> None:
        with ScriptedRegistry() as registry:
            old = registry.shelf.add_image("app", "1", config={"User": "a", "Env": ["KEY=hunter2"], "Cmd": ["x"]})
            registry.shelf.add_image("app", "1", config={"User": "b", "Env": ["KEY=hunter3"], "Cmd": ["y"]})
            running = nginx(reference=f"{registry.host}/app:1", digest=str(old), own=("Config.Cmd", "Config.Env.TZ"))
            centre.add_host("web-1").snapshot(running)
            centre.turn()
            answer = http.post(f"{API}/plans", json={})
            plan = answer.json()["plan"]
            assert http.get(f"{API}/plans/{plan['id']}").json()["plan"] == plan
        assert plan["hosts"][0]["targets"][0]["configuration"] == 0
        assert plan["configurations"] == [
            {
                "changes": ["Config.Env.KEY: changed", 'Config.User: "a" -> "b"'],
                "kept": ["Config.Cmd", "Config.Env.TZ"],
                "overridden": ["Config.Cmd"],
                "unknown": "",
            }
        ]
        assert "hunter" not in answer.text

    def test_a_plan_that_asks_nobody_says_that_it_does_not_know(
        self, http: TestClient, centre: Centre, web1: ScriptedHost
    ) -> None:
        _move_tag(centre)
        (told,) = http.post(f"{API}/plans", json={"check": False}).json()["plan"]["configurations"]
        assert told["unknown"].endswith("the registries were not asked")
        plan = http.post(f"{API}/plans", json={"check": False, "configuration": False}).json()["plan"]
        assert (plan["configurations"], plan["hosts"][0]["targets"][0]["configuration"]) == ([], None)

    def test_an_update_goes_from_plan_to_history(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        _move_tag(centre)
        plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
        rollout = http.post(f"{API}/plans/{plan['id']}/apply", json={"reason": "for the test"}).json()["rollout_id"]
        carry_out(centre, web1)
        answer = http.get(f"{API}/rollouts/{rollout}").json()
        assert answer["rollout"]["state"] == "completed"
        assert answer["rollout"]["asked_by"].startswith("person:")
        assert [(h["host"], h["state"], h["containers"]) for h in answer["hosts"]] == [("web-1", "succeeded", ["web"])]
        (row,) = http.get(f"{API}/history", params={"rollout": rollout}).json()["outcomes"]
        assert (row["host"], row["result"], row["new_digest"], row["downtime_ms"]) == ("web-1", "updated", NEW, 700)
        shown = http.get(f"{API}/history/{row['id'].replace('-', '')[-8:]}").json()
        assert shown["update"]["id"] == row["id"]
        assert (shown["pull"]["bytes"], shown["pull"]["tier"]) == (1000, "loopback")
        host = http.get(f"{API}/hosts/web-1").json()
        assert (host["tier"], bool(host["tier_at"])) == ("loopback", True)
        assert http.get(f"{API}/mirrors", params={"host": "web-1"}).json()["tier"] == "loopback"
        assert http.get(f"{API}/mirrors").json()["tier"] == ""

    def test_one_container_is_updated_in_one_call(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        _move_tag(centre)
        body = {"host": "web-1", "container": "web", "check": False}
        ordered = http.post(f"{API}/updates", json=body).json()
        assert ordered["rollout_id"]
        assert ordered["plan"]["rollout_id"] == ordered["rollout_id"]

    def test_nothing_to_do_makes_no_rollout(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        tags.record_resolved(centre.db, IMAGE, OLD, "https://registry-1.docker.io")
        ordered = http.post(f"{API}/updates", json={"host": "web-1", "check": False}).json()
        assert ordered["rollout_id"] is None
        assert http.get(f"{API}/rollouts").json()["rollouts"] == []

    def test_an_unknown_container_is_not_found(self, http: TestClient, web1: ScriptedHost) -> None:
        answer = http.post(f"{API}/updates", json={"host": "web-1", "container": "nobody", "check": False})
        assert answer.status_code == 404

    def test_a_stale_plan_is_refused_and_says_what_moved(
        self, http: TestClient, centre: Centre, web1: ScriptedHost
    ) -> None:
        _move_tag(centre)
        plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
        web1.snapshot(nginx())
        centre.turn()
        answer = http.post(f"{API}/plans/{plan['id']}/apply", json={})
        assert answer.status_code == 409
        assert "web" in answer.json()["detail"]

    def test_a_failure_is_in_the_history_with_its_reason(
        self, http: TestClient, centre: Centre, web1: ScriptedHost
    ) -> None:
        _move_tag(centre)
        http.post(f"{API}/updates", json={"host": "web-1", "check": False})
        carry_out(centre, web1, Result.ROLLED_BACK)
        failed = http.get(f"{API}/history", params={"outcome": "rolled_back", "host": "web-1"}).json()["outcomes"]
        assert len(failed) == 1
        assert http.get(f"{API}/history", params={"outcome": "updated"}).json()["outcomes"] == []
        (rollout,) = http.get(f"{API}/rollouts").json()["rollouts"]
        assert rollout["state"] == "completed_with_failures"

    def test_an_aborted_rollout_sends_nothing(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        _move_tag(centre)
        rollout = http.post(f"{API}/updates", json={"host": "web-1", "check": False}).json()["rollout_id"]
        answer = http.post(f"{API}/rollouts/{rollout}/abort", json={"reason": "no"}).json()
        assert answer["rollout"]["state"] in ("aborting", "aborted")
        centre.turn()
        assert "offer" not in web1.words()
        assert http.get(f"{API}/rollouts/{rollout}").json()["rollout"]["state"] == "aborted"


class TestHolding:
    def test_a_paused_rollout_sends_nothing_until_it_is_resumed(
        self, http: TestClient, centre: Centre, web1: ScriptedHost
    ) -> None:
        _move_tag(centre)
        rollout = http.post(f"{API}/updates", json={"host": "web-1", "check": False}).json()["rollout_id"]
        held = http.post(f"{API}/rollouts/{rollout}/pause", json={"reason": "lunch"}).json()
        assert held["rollout"]["holds"] == ["user"]
        centre.turn()
        assert "offer" not in web1.words()
        resumed = http.post(f"{API}/rollouts/{rollout}/resume").json()
        assert resumed["rollout"]["holds"] == []
        centre.turn()
        assert "offer" in web1.words()


class TestHistoryQueries:
    """All that is asked must hold."""

    QUERIES: tuple[tuple[dict[str, str], int], ...] = (
        ({}, 1),
        ({"host": "web-1", "container": "web"}, 1),
        ({"host": "web-2"}, 0),
        ({"image": "nginx"}, 1),
        ({"image": "nginx:2"}, 0),
        ({"image": NEW}, 1),
        ({"digest": OLD}, 1),
        ({"since": "2100-01-01T00:00:00Z"}, 0),
        ({"until": "2100-01-01T00:00:00Z"}, 1),
        ({"mirror": "https://nowhere"}, 0),
        ({"q": "host:web-1 -outcome:failure since:1h"}, 1),
        ({"q": "-host:web-1"}, 0),
        ({"q": "image:nginx", "host": "web-1"}, 1),
        ({"q": "image:nginx", "host": "web-2"}, 0),
    )

    def test_each_query_finds_what_fits(
        self, http: TestClient, centre: Centre, web1: ScriptedHost, subtests: pytest.Subtests
    ) -> None:
        _move_tag(centre)
        http.post(f"{API}/updates", json={"host": "web-1", "check": False})
        carry_out(centre, web1)
        for query, count in self.QUERIES:
            with subtests.test(query=query):
                assert len(http.get(f"{API}/history", params=query).json()["outcomes"]) == count

    def test_a_cursor_of_nowhere_is_refused(self, http: TestClient) -> None:
        assert http.get(f"{API}/history", params={"page": "nonsense"}).status_code == 422


class TestMirrors:
    def test_policy_and_route_are_explained(self, http: TestClient, web1: ScriptedHost) -> None:
        mirrors = [{"for": "*", "url": "http://mirror.lan:5000"}]
        http.put(f"{API}/policies", json={"kind": "host", "subject": "web-1", "document": {"mirrors": mirrors}})
        answer = http.get(f"{API}/mirrors/explain", params={"image": "nginx", "host": "web-1"}).json()
        assert answer["reference"] == "docker.io/library/nginx:latest"
        (route,) = answer["routes"]
        assert [(s["endpoint"], s["role"]) for s in route["sources"]] == [
            ("http://mirror.lan:5000", "mirror"),
            ("https://registry-1.docker.io", "origin"),
        ]
        (listed,) = http.get(f"{API}/mirrors").json()["mirrors"]
        assert (listed["endpoint"], listed["provenance"]) == ("http://mirror.lan:5000", "policy")

    def test_a_policy_shows_its_host_by_name(self, http: TestClient, web1: ScriptedHost) -> None:
        document = {"mirrors": [{"for": "docker.io", "url": "https://harbor.lan"}]}
        http.put(f"{API}/policies", json={"kind": "host", "subject": "web-1", "document": document})
        answer = http.get(f"{API}/policies", params={"host": "web-1"}).json()
        assert [(p["kind"], p["subject"]) for p in answer["policies"]] == [("host", "web-1")]
        assert answer["effective"]["mirrors"] == document["mirrors"]

    def test_an_empty_fleet_is_explained_too(self, http: TestClient) -> None:
        answer = http.get(f"{API}/mirrors/explain", params={"image": "ghcr.io/org/app:1"}).json()
        assert [s["endpoint"] for s in answer["routes"][0]["sources"]] == ["https://ghcr.io"]


class TestSchedules:
    BODY = {"name": "nightly", "cron": "0 3 * * 1-5", "zone": "Europe/Berlin", "action": "apply"}  # noqa: RUF012

    def test_a_schedule_is_told_in_words_with_its_next_runs(self, http: TestClient) -> None:
        answer = http.post(f"{API}/schedules", json=self.BODY).json()
        assert "03:00" in answer["explained"]
        assert len(answer["next_runs"]) == 3
        assert answer["schedule"]["next_run_at"] == answer["next_runs"][0]

    def test_a_paused_schedule_has_no_next_run(self, http: TestClient) -> None:
        http.post(f"{API}/schedules", json=self.BODY)
        paused = http.patch(f"{API}/schedules/nightly", json={"enabled": False}).json()
        assert (paused["schedule"]["enabled"], paused["next_runs"]) == (False, [])
        resumed = http.patch(f"{API}/schedules/nightly", json={"enabled": True}).json()
        assert len(resumed["next_runs"]) == 3

    def test_a_removed_schedule_is_gone(self, http: TestClient) -> None:
        http.post(f"{API}/schedules", json=self.BODY)
        assert http.delete(f"{API}/schedules/nightly").status_code == 200
        assert http.get(f"{API}/schedules/nightly").status_code == 404

    def test_a_taken_name_is_refused(self, http: TestClient) -> None:
        http.post(f"{API}/schedules", json=self.BODY)
        assert http.post(f"{API}/schedules", json=self.BODY).status_code == 409

    def test_running_it_now_lets_it_check(self, http: TestClient, centre: Centre) -> None:
        http.post(f"{API}/schedules", json=self.BODY | {"action": "check"})
        assert http.post(f"{API}/schedules/nightly/run").status_code == 200
        centre.turn()
        assert http.get(f"{API}/schedules/nightly").json()["schedule"]["last_run_at"]


class TestDoctor:
    def test_a_centre_that_is_well_passes(self, http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
        checks = {check["id"]: check for check in http.get(f"{API}/doctor").json()["checks"]}
        for id in ("database", "broker", "broker.memory", "scheduler", "key", "hosts", "host-silent"):
            assert checks[id]["grade"] == "PASS", checks[id]

    def test_an_empty_fleet_says_what_to_do(self, http: TestClient) -> None:
        checks = {check["id"]: check for check in http.get(f"{API}/doctor").json()["checks"]}
        assert (checks["hosts"]["grade"], checks["hosts"]["fix"]) == ("WARN", "fleet host add NAME")

    def test_a_problem_that_a_host_told_is_shown_with_its_name(
        self, http: TestClient, centre: Centre, web1: ScriptedHost
    ) -> None:
        facts = HostFacts(agent_version="0.1.0", problems=("disk: cannot store images; 1 % free",))
        web1.say(Heartbeat(facts=facts, host_time=datetime.now(UTC)))
        centre.turn()
        found = [c for c in http.get(f"{API}/doctor").json()["checks"] if c["id"] == "disk"]
        assert [(c["grade"], c["subject"], c["text"], c["fix"]) for c in found] == [
            ("WARN", "web-1", "cannot store images", "1 % free")
        ]

    def test_a_broker_that_forgets_fails(self, http: TestClient, centre: Centre) -> None:
        client = centre.broker.client()
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            checks = {check["id"]: check for check in http.get(f"{API}/doctor").json()["checks"]}
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.close()
        assert checks["broker.memory"]["grade"] == "FAIL"
        assert "noeviction" in checks["broker.memory"]["fix"]

    def test_a_planner_that_died_fails(self, http: TestClient, centre: Centre) -> None:
        centre.turn()
        os.utime(centre.settings.state_dir / "planner.tick", (1, 1))
        checks = {check["id"]: check for check in http.get(f"{API}/doctor").json()["checks"]}
        assert checks["scheduler"]["grade"] == "FAIL"

    def test_a_database_that_is_away_hides_what_stands_in_it(
        self, http: TestClient, centre: Centre, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_db: object) -> None:
            raise DatabaseUnreachable("cannot use the database: it is away")

        monkeypatch.setattr("fleet.history.upkeep.upgrade.require_head", away)
        checks = {check["id"]: check for check in http.get(f"{API}/doctor").json()["checks"]}
        assert (checks["database"]["grade"], checks["hosts"]["grade"]) == ("FAIL", "SKIP")

    def test_a_broker_that_is_away_fails_and_the_rest_is_looked_at(
        self, http: TestClient, centre: Centre, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_settings: object) -> None:
            raise BrokerUnreachable("cannot reach the broker")

        monkeypatch.setattr(CentreSettings, "broker_address", away)
        checks = {check["id"]: check for check in http.get(f"{API}/doctor").json()["checks"]}
        assert (checks["broker"]["grade"], checks["hosts"]["grade"]) == ("FAIL", "WARN")
