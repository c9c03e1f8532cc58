"""The process that tells Home Assistant: killed, held, doubled, and with a broker that comes and goes."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from fleet.controller import home_pulse
from fleet.controller.condition import Facts
from fleet.controller.conditions import judge
from fleet.controller.home_pulse import HomePulse, HomeState
from fleet.controller.supervisor import chosen
from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from fleet.settings.centre import CentreSettings
from tests.controller.conftest import START
from tests.controller.processes import running
from tests.history.conftest import Postgres
from tests.history.world import container, open_world
from tests.mqtt.brokers import Mosquitto, mosquitto, soon, witness

MQTT = {"url": "mqtt://127.0.0.1:9"}


class TestProcess:
    """As a process of its own."""

    pytestmark = pytest.mark.mosquitto

    @pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
    def url(self, request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> str:
        """A database of either kind, in which one host runs one container."""
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = server.url("fleet")
            upgrade(url)
        else:
            shutil.copy(migrated, tmp_path / "fleet.db")
            url = f"sqlite:///{tmp_path / 'fleet.db'}"
        with ExitStack() as stack:
            db = stack.enter_context(closing(Database.open(url)))
            open_world(db, tmp_path, stack).add_host("web-1", container("nginx"))
        return url

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[Mosquitto]:
        """An MQTT broker that keeps nothing over its end."""
        (tmp_path / "mqtt").mkdir()
        with mosquitto(tmp_path / "mqtt") as broker:
            yield broker

    def environment(self, url: str, broker: Mosquitto, state: Path) -> dict[str, str]:
        """Return what a centre is told."""
        told = {"STATE_DIR": str(state), "DATABASE_URL": url, "MQTT_URL": broker.url, "MQTT_EVERY_S": "0.2"}
        return {**os.environ, **{f"FLEET_{name}": value for name, value in told.items()}}

    def test_its_death_is_told_by_the_broker_and_the_other_centre_goes_on(
        self, url: str, broker: Mosquitto, tmp_path: Path
    ) -> None:
        """Two centres of one fleet: one tells, the other waits for its end, and no entity is there twice."""
        states = [tmp_path, tmp_path] if url.startswith("sqlite") else [tmp_path / "one", tmp_path / "two"]
        with ExitStack() as stack, witness(broker) as seen:
            first, second = (
                stack.enter_context(running(["mqtt"], self.environment(url, broker, state), tmp_path / f"{number}.log"))
                for number, state in enumerate(states)
            )
            soon(lambda: len(seen.configs()) == 2)
            assert broker.log.count("as fleet-fleet") == 1, "one of them speaks"
            told = [(tmp_path / f"{number}.log").read_text().count("Home Assistant is told") for number in range(2)]
            leader, other = (first, second) if told[0] else (second, first)
            os.kill(leader.pid, signal.SIGSTOP)
            leader.kill()
            leader.wait(60)
            soon(lambda: ("fleet/status", b"offline") in seen.came)
            soon(lambda: seen.stands["fleet/status"] == b"online", seconds=60)
            assert len(seen.configs()) == 2
            other.terminate()
            other.wait(60)
            soon(lambda: seen.stands["fleet/status"] == b"offline")

    def test_a_broker_that_is_killed_again_and_again_has_all_in_the_end(
        self, url: str, broker: Mosquitto, tmp_path: Path
    ) -> None:
        with running(["mqtt"], self.environment(url, broker, tmp_path), tmp_path / "mqtt.log") as process:
            for _ in range(3):
                with witness(broker) as seen:
                    soon(lambda: len(seen.configs()) == 2 and seen.stands["fleet/status"] == b"online", seconds=60)
                broker.kill()
                soon(lambda: _state(tmp_path) is HomeState.AWAY)
                broker.start()
            soon(lambda: _state(tmp_path) is HomeState.TOLD, seconds=60)
            assert process.poll() is None
            process.terminate()
            process.wait(60)
        assert home_pulse.last(tmp_path) is None, "who ended in order is not missed"
        lines = [json.loads(line) for line in (tmp_path / "mqtt.log").read_text().splitlines()]
        assert {line["event"] for line in lines if line["level"] == "error"} == set()


def _state(state: Path) -> HomeState | None:
    found = home_pulse.last(state)
    return found.state if found else None


def test_it_runs_only_where_it_has_a_broker(tmp_path: Path) -> None:
    assert "mqtt" not in chosen(CentreSettings.read(state_dir=tmp_path))
    assert chosen(CentreSettings.read(state_dir=tmp_path, mqtt=MQTT))[-1] == "mqtt"
    assert chosen(CentreSettings.read(state_dir=tmp_path), ["web", "mqtt"]) == ["web"]


class TestCondition:
    """Whoever looks after the fleet is told that Home Assistant is not."""

    @pytest.mark.parametrize(
        ("state", "since", "ago", "text"),
        [
            (HomeState.TOLD, 999, 10, None),
            (HomeState.STANDBY, 999, 10, None),
            (HomeState.AWAY, 200, 10, None),
            (HomeState.AWAY, 999, 10, "cannot reach it"),
            (HomeState.REFUSED, 999, 10, "cannot reach it"),
            (HomeState.TOLD, 999, 500, "the process mqtt was last heard of at 2026-11-02 11:51:40 UTC"),
        ],
    )
    def test_it_holds_once_it_lasts(self, state: HomeState, since: int, ago: int, text: str | None) -> None:
        pulse = HomePulse(
            state=state,
            since=START - timedelta(seconds=since),
            at=START - timedelta(seconds=ago),
            reason="" if state is HomeState.TOLD else "cannot reach it",
        )
        found = judge(Facts(now=START, home=pulse))
        assert [(each.code, each.text) for each in found] == ([] if text is None else [("home-untold", text)])

    def test_what_was_noted_is_read_back_and_a_state_began_when_it_began(self, tmp_path: Path) -> None:
        assert home_pulse.last(tmp_path) is None
        for minutes, state in enumerate((HomeState.AWAY, HomeState.AWAY, HomeState.TOLD)):
            home_pulse.beat(tmp_path, state, START + timedelta(minutes=minutes), reason="x", hosts=3)
            found = home_pulse.last(tmp_path)
            assert found is not None
            assert (found.state, found.at, found.hosts) == (state, START + timedelta(minutes=minutes), 3)
            assert found.since == START + timedelta(minutes=0 if state is HomeState.AWAY else 2)
        (tmp_path / home_pulse.FILE).write_text('{"state": "told"')
        assert home_pulse.last(tmp_path) is None
        home_pulse.forget(tmp_path)
        home_pulse.forget(tmp_path)
