"""What Prometheus reads of a centre, who may read it, and that reading often costs no more."""

import errno
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain
from sqlalchemy import update
from starlette.testclient import TestClient

from fleet.controller import metrics as found_in
from fleet.controller import pulse
from fleet.controller.condition_catalogue import CATALOGUE as CONDITIONS
from fleet.controller.metric import MetricKind, Part
from fleet.controller.metric_catalogue import CATALOGUE
from fleet.controller.metrics import SHARE, Metrics
from fleet.errors import BadInput
from fleet.history.inventory import hosts
from fleet.history.measured.inventory import measure_hosts
from fleet.history.mirrors import probes
from fleet.history.noted.counting import PHASES, Tally
from fleet.history.registries import tags
from fleet.history.tables.inventory import hosts as host_table
from fleet.history.tables.words import Scope
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.road.messages import Probed
from fleet.settings.centre import CentreSettings
from fleet.updates.outcome import Result
from fleet.web.callers import hash_of
from fleet.web.centre import Centre as Served
from fleet.web.doors import Behind, Door
from tests.controller.centre import NEW, Centre, ScriptedHost, nginx
from tests.web.test_routes import IMAGE, carry_out

METRICS = "/metrics"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(http: TestClient) -> Values:
    """Return every value by its name and labels."""
    answer = http.get(METRICS)
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read_plain(answer.text)
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float | None:
    """Return one value; None where there is no such series."""
    return values.get((name, tuple(sorted(labels.items()))))


def settled(centre: Centre, application: FastAPI, **metrics: Any) -> None:
    """Serve the centre with other settings of its metrics; what was found before is forgotten."""
    settings = centre.settings.model_copy(
        update={"metrics": centre.settings.metrics.model_copy(update={"keep_s": 1e-9, **metrics})}
    )
    application.state.centre = Served(settings=settings, db=centre.db)


class TestWhatIsRead:
    def test_an_update_is_seen_from_the_order_to_its_end(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI
    ) -> None:
        settled(centre, application)
        tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
        values = read(http)
        assert value(values, "fleet_followed_containers", freshness="outdated") == 1
        assert value(values, "fleet_updates_total", outcome="updated") == 0
        http.post("/api/v1/updates", json={"host": "web-1", "check": False})
        settled(centre, application)
        values = read(http)
        assert value(values, "fleet_rollouts", state="planned") == 1
        (rollout,) = {dict(labels)["rollout"] for name, labels in values if name == "fleet_rollout_hosts"}
        assert (value(values, "fleet_rollout_last_event_timestamp_seconds", rollout=rollout) or 0) > 1e9
        carry_out(centre, web1, Result.ROLLED_BACK)
        settled(centre, application)
        values = read(http)
        assert value(values, "fleet_updates_total", outcome="rolled_back") == 1
        assert value(values, "fleet_host_updates_total", host="web-1", outcome="rolled_back") == 1
        assert value(values, "fleet_hosts", state="online") == 1
        assert value(values, "fleet_host_containers", host="web-1", state="running") == 1
        assert value(values, "fleet_queue_depth", queue="inbox") == 0

    def test_both_formats_are_read_whole_and_say_the_same(self, http: TestClient, web1: ScriptedHost) -> None:
        plain, open_text = http.get(METRICS), http.get(METRICS, headers=OPENMETRICS)
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert open_text.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert open_text.text.endswith("# EOF\n") and "# EOF" not in plain.text
        names = [
            {sample.name for family in families for sample in family.samples} for families in _both(plain, open_text)
        ]
        assert names[0] == names[1] != set()

    def test_durations_lie_in_buckets_that_rise_to_all_of_them(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI
    ) -> None:
        """Their ends are written as OpenMetrics writes numbers, so that both formats make the same series."""
        with centre.db.writing() as connection:
            tally = Tally()
            phases = dict.fromkeys((f"{phase}_ms" for phase in PHASES), None)
            told = {**phases, "downtime_ms": None, "result": Result.UPDATED, "host_id": web1.id}
            tally.add_updates([{**told, "pull_ms": ms} for ms in (80, 1000, 1001, 5_000_000)])
            tally.write(connection)
        settled(centre, application)
        values = read(http)
        ends = [dict(labels).get("le") for name, labels in values if name == "fleet_update_duration_seconds_bucket"]
        assert {"0.1", "1.0", "3600.0", "+Inf"} <= set(ends)
        of_pulls = {
            end: value(values, "fleet_update_duration_seconds_bucket", phase="pull", le=end or "") for end in ends
        }
        assert [of_pulls[end] for end in ("0.1", "0.5", "1.0", "2.5", "3600.0", "+Inf")] == [1, 1, 2, 3, 3, 4]
        assert value(values, "fleet_update_duration_seconds_count", phase="pull") == 4
        assert value(values, "fleet_update_duration_seconds_sum", phase="pull") == 5002.081
        assert value(values, "fleet_update_duration_seconds_count", phase="rollback") == 0

    @pytest.mark.parametrize("version", ["9", "no-number", "1.0.0-x"])
    def test_no_version_that_is_asked_for_stops_it(self, http: TestClient, version: str) -> None:
        answer = http.get(METRICS, headers={"Accept": f"application/openmetrics-text;version={version}"})
        assert (answer.status_code, answer.headers["content-type"].count("version=1.0.0")) == (200, 1)

    @pytest.mark.parametrize(
        ("accept", "format"),
        [("text/plain;version=0.0.4", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text")],
    )
    def test_it_comes_as_it_is_asked_for(self, http: TestClient, accept: str, format: str) -> None:
        assert http.get(METRICS, headers={"Accept": accept}).headers["content-type"].split(";")[0] == format

    def test_it_comes_as_gzip_where_that_is_read(self, http: TestClient, web1: ScriptedHost) -> None:
        with http.stream("GET", METRICS, headers={"Accept-Encoding": "gzip"} | OPENMETRICS) as answer:
            raw = b"".join(answer.iter_raw())
        assert (
            zlib.decompressobj(wbits=31).decompress(raw).decode()
            == http.get(METRICS, headers={"Accept-Encoding": "identity"} | OPENMETRICS).text
        )

    def test_nothing_is_shown_that_is_not_in_the_catalogue(
        self, http: TestClient, web1: ScriptedHost, centre: Centre
    ) -> None:
        """And each series has just the labels that it declares."""
        pulse.beat(centre.settings.state_dir, 0.25)
        _probed(centre, web1, MirrorProbe(mirror="https://m.lan", registry="docker.io", state=ProbeState.OK))
        declared = {metric.name: metric for metric in CATALOGUE}
        for family in read_plain(http.get(METRICS).text):
            metric = declared[f"{family.name}_total" if family.type == "counter" else family.name]
            assert (family.type, family.documentation) == (metric.kind, metric.text)
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(metric.labels)

    def test_how_many_series_there_are_is_told_truly(self, http: TestClient, web1: ScriptedHost) -> None:
        values = read(http)
        told = {dict(labels)["part"]: n for (name, labels), n in values.items() if name == "fleet_metrics_series"}
        assert set(told) == {"centre", "fleet", "mirrors", "inventory", "hosts"}
        of_others = [name for name, _ in values if not name.startswith("fleet_metrics_")]
        assert sum(told.values()) == len(of_others)
        assert told["hosts"] == len([name for name in of_others if name.startswith("fleet_host_")]) > 0

    def test_hosts_have_no_series_where_that_is_turned_off(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI
    ) -> None:
        settled(centre, application, per_host=False)
        text = http.get(METRICS).text
        assert "web-1" not in text and "fleet_host_" not in text
        assert 'fleet_hosts{state="online"} 1.0' in text

    def test_a_removed_host_is_shown_no_more(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI
    ) -> None:
        settled(centre, application)
        assert "web-1" in http.get(METRICS).text
        hosts.remove_host(centre.db, "web-1", by="person:anna", door="socket")
        settled(centre, application)
        text = http.get(METRICS).text
        assert "web-1" not in text and 'fleet_hosts{state="online"} 0.0' in text
        assert "fleet_followed_containers" not in text and "fleet_containers{" not in text

    def test_no_secret_digest_tag_or_container_id_is_shown(
        self, http: TestClient, web1: ScriptedHost, centre: Centre
    ) -> None:
        """They would make a series of every release of every image."""
        tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
        text = http.get(METRICS).text
        assert "sha256" not in text and IMAGE not in text and nginx().id[:12] not in text

    def test_hosts_cannot_make_ever_more_versions_of_agents(self, http: TestClient, centre: Centre) -> None:
        """A host calls its version what it likes; those that most hosts have are told by name."""
        for number in range(found_in.MOST_VERSIONS + 3):
            _host_of_version(centre, f"web-{number}", f"0.0.{number:02}")
        _host_of_version(centre, "web-z", "0.0.99")
        _host_of_version(centre, "web-y", "0.0.99")
        values = read(http)
        told = {dict(labels)["version"]: n for (name, labels), n in values.items() if name == "fleet_agents"}
        assert (len(told), told["0.0.99"], told["other"]) == (found_in.MOST_VERSIONS + 1, 2, 4)

    def test_odd_names_are_written_so_that_they_are_read(
        self, http: TestClient, web1: ScriptedHost, centre: Centre
    ) -> None:
        """A mirror is what a host calls it."""
        odd = 'http://"quo\\te" {é}.lan'
        _probed(centre, web1, MirrorProbe(mirror=odd, registry="docker.io", state=ProbeState.OK))
        assert value(read(http), "fleet_mirror_up", mirror=odd) == 1


def _host_of_version(centre: Centre, name: str, version: str) -> None:
    row = hosts.add_host(
        centre.db,
        name=name,
        labels={},
        public_key=name,
        kid=name,
        password_sha256="aa",
        by="person:anna",
        door="socket",
    )
    with centre.db.writing() as connection:
        connection.execute(update(host_table).where(host_table.c.id == row.id).values(agent_version=version))


def _both(plain: Any, open_text: Any) -> Iterator[list[Any]]:
    yield list(read_plain(plain.text))
    yield list(read_openmetrics(open_text.text))  # type: ignore[no-untyped-call]


def _probed(centre: Centre, host: ScriptedHost, *found: MirrorProbe) -> None:
    (asked,) = probes.ask_probes(centre.db, [host.id], by="schedule", images={}).values()
    host.say(Probed(request=asked, mirrors=found))
    centre.turn()


class TestTheCentre:
    def test_a_tick_is_seen_with_what_it_took(self, http: TestClient, centre: Centre, application: FastAPI) -> None:
        settled(centre, application)
        assert value(read(http), "fleet_scheduler_last_tick_timestamp_seconds") is None
        pulse.beat(centre.settings.state_dir, 0.25)
        values = read(http)
        assert value(values, "fleet_scheduler_last_tick_duration_seconds") == 0.25
        assert value(values, "fleet_scheduler_last_tick_timestamp_seconds") == pytest.approx(
            (centre.settings.state_dir / pulse.FILE).stat().st_mtime
        )

    def test_what_an_earlier_release_wrote_of_its_tick_is_no_duration(self, centre: Centre) -> None:
        (centre.settings.state_dir / pulse.FILE).touch()
        assert pulse.last(centre.settings.state_dir) is not None
        assert pulse.took_s(centre.settings.state_dir) is None

    def test_a_full_disk_hides_no_tick(self, centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        pulse.beat(centre.settings.state_dir, 0.25)
        assert pulse.last(centre.settings.state_dir) is not None

    def test_a_broker_that_is_away_is_told_and_hides_nothing_else(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI, tmp_path: Path
    ) -> None:
        away = centre.settings.broker.model_copy(update={"url": _secret(f"unix://{tmp_path}/nobody.sock")})
        application.state.centre = Served(settings=centre.settings.model_copy(update={"broker": away}), db=centre.db)
        values = read(http)
        assert value(values, "fleet_broker_up") == 0
        assert value(values, "fleet_queue_depth", queue="inbox") is None
        assert value(values, "fleet_queue_depth", queue="outbox") is not None
        assert value(values, "fleet_hosts", state="online") == 1

    def test_conditions_are_those_of_the_planners_last_look(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI
    ) -> None:
        settled(centre, application)
        assert value(read(http), "fleet_conditions_last_look_timestamp_seconds") is None
        centre.planner._look()
        values = read(http)
        assert (value(values, "fleet_conditions_last_look_timestamp_seconds") or 0) > 1e9
        codes = {dict(labels)["code"] for name, labels in values if name == "fleet_conditions"}
        assert codes == {kind.code for kind in CONDITIONS} - {"scheduler-late", "inbox-behind", "home-untold"}
        tags.record_failed(centre.db, IMAGE, "cannot reach it")
        centre.planner._look()
        assert value(read(http), "fleet_conditions", code="tag-unresolved", severity="warning") == 1


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


class TestWhoMayRead:
    def test_at_the_port_a_token_is_needed(self, port: TestClient) -> None:
        answer = port.get(METRICS)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["detail"].startswith("cannot proceed without a token")

    def test_a_token_that_may_read_is_enough(self, port: TestClient, centre: Centre) -> None:
        assert port.get(METRICS, headers=_token(centre, Scope.READ)).status_code == 200
        assert port.get(METRICS, headers={"Authorization": "Bearer fpat_wrong"}).status_code == 401

    @pytest.mark.parametrize(
        ("networks", "address", "let_in"),
        [
            (("10.0.0.0/8",), "10.1.2.3", True),
            (("10.0.0.0/8",), "11.1.2.3", False),
            (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
            (("192.0.2.1", "fd00::/8"), "fd00::5", True),
            (("192.0.2.1", "fd00::/8"), "192.0.2.1", True),
            (("192.0.2.1",), "192.0.2.2", False),
            (("0.0.0.0/0", "::/0"), "testclient", False),
            ((), "127.0.0.1", False),
        ],
    )
    def test_a_named_network_reads_without_one(
        self, app: Behind, centre: Centre, application: FastAPI, networks: tuple[str, ...], address: str, let_in: bool
    ) -> None:
        settled(centre, application, networks=networks)
        caller = TestClient(Behind(application, Door.PORT), client=(address, 50000))
        assert caller.get(METRICS).status_code == (200 if let_in else 401)
        assert caller.get("/api/v1/hosts").status_code == 401, "and nothing else"

    def test_no_header_says_where_a_request_comes_from(self, app: Behind, centre: Centre, application: FastAPI) -> None:
        settled(centre, application, networks=("10.0.0.0/8",))
        caller = TestClient(Behind(application, Door.PORT), client=("192.0.2.9", 50000))
        assert caller.get(METRICS, headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 401

    def test_what_came_through_no_door_reads_nothing(self, app: Behind, centre: Centre, application: FastAPI) -> None:
        settled(centre, application, networks=("127.0.0.0/8",))
        assert TestClient(application, client=("127.0.0.1", 50000)).get(METRICS).status_code == 401

    @pytest.mark.parametrize("network", ["10.0.0.0/33", "lan", "10.0.0"])
    def test_a_network_that_is_none_is_told_when_the_process_starts(self, tmp_path: Path, network: str) -> None:
        with pytest.raises(BadInput, match=r"FLEET_METRICS_NETWORKS.*no address or network"):
            CentreSettings.read(state_dir=tmp_path, metrics={"networks": (network,)})


def _token(centre: Centre, scope: Scope) -> dict[str, str]:
    from fleet.history.rules.tokens import add_token

    add_token(centre.db, name="prometheus", sha256=hash_of("fpat_p"), scope=scope, by="person:anna", door="socket")
    return {"Authorization": "Bearer fpat_p"}


class TestHowOften:
    def test_of_those_who_ask_at_once_one_looks(
        self, centre: Centre, web1: ScriptedHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked = []
        second = threading.Barrier(2)

        def look(db: Any) -> Any:
            looked.append(1)
            with suppress(threading.BrokenBarrierError):
                second.wait(0.3)  # whoever would look beside this one has the time to come here
            return measure_hosts(db)

        monkeypatch.setattr(found_in, "measure_hosts", look)
        metrics = Metrics(centre.db, centre.settings, monotonic=lambda: 1000.0)
        with ThreadPoolExecutor(4) as pool:
            found = [dict(parts) for parts in pool.map(lambda _: metrics.parts(), range(4))]
        assert looked == [1]
        assert all(each == found[0] for each in found)

    def test_parts_are_found_anew_once_they_are_old(self, centre: Centre, web1: ScriptedHost) -> None:
        at = [1000.0]
        metrics = Metrics(centre.db, centre.settings, monotonic=lambda: at[0])
        first = dict(metrics.parts())
        at[0] += centre.settings.metrics.keep_s - 0.1
        assert dict(metrics.parts()) == first
        at[0] += 0.2
        assert all(kept.at == at[0] for _, kept in metrics.parts())

    def test_what_takes_long_is_found_as_much_more_rarely(
        self, centre: Centre, web1: ScriptedHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of what grows with the fleet; the others are never older than the setting says."""
        at = [1000.0]
        measured = measure_hosts

        def slowly(db: Any) -> Any:
            at[0] += 2
            return measured(db)

        monkeypatch.setattr(found_in, "measure_hosts", slowly)
        metrics = Metrics(centre.db, centre.settings, monotonic=lambda: at[0])
        metrics.parts()
        began = at[0]
        at[0] = began + 2 * SHARE - 1
        assert {part: kept.at for part, kept in metrics.parts()}[Part.HOSTS] == began
        assert {part: kept.at for part, kept in metrics.parts()}[Part.FLEET] == at[0]
        at[0] = began + 2 * SHARE
        assert {part: kept.at for part, kept in metrics.parts()}[Part.HOSTS] > began

    def test_a_database_that_is_away_is_no_answer_of_old_figures(
        self, http: TestClient, web1: ScriptedHost, centre: Centre, application: FastAPI, tmp_path: Path
    ) -> None:
        settled(centre, application)
        assert http.get(METRICS).status_code == 200
        away = replace(centre.db, engine=_nowhere(tmp_path))
        application.state.centre = Served(settings=centre.settings, db=away)
        answer = http.get(METRICS)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unreachable")


def _nowhere(tmp_path: Path) -> Any:
    from fleet.history.sql.database import Database

    return Database.open(f"sqlite:///{tmp_path}/none/fleet.db").engine


def test_counters_are_named_as_counters_and_nothing_else_is() -> None:
    assert [m.name for m in CATALOGUE if m.name.endswith("_total") is not (m.kind is MetricKind.COUNTER)] == []
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
