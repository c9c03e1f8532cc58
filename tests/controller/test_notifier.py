"""The notifier over real servers: what fails is sent again, who hangs keeps nobody waiting, and a kill loses and doubles nothing."""

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from fleet.controller import pulse
from fleet.controller.conditions import active
from fleet.controller.notifier import Notifier
from fleet.errors import BadInput
from fleet.history.inventory import hosts
from fleet.history.noted import followed
from fleet.history.noted.events import event, tell
from fleet.history.notify import channels, deliveries, event_taking
from fleet.history.notify.channels import ChannelChange
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.history.tables.notify import channels as table
from fleet.history.tables.notify import events
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.ids import new_id
from fleet.notify import by_apprise, seal, webhook
from fleet.notify.events import EventType
from fleet.notify.examples import examples
from fleet.notify.rule import Rule
from fleet.notify.seal import PRIVATE, Opener, Seal
from fleet.notify.sent import Sent, later
from fleet.notify.severity import Severity
from fleet.notify.template import Template
from fleet.notify.text import message
from fleet.rollouts.selector import Selector
from fleet.rollouts.stops import StopKind
from fleet.settings.centre import CentreSettings
from fleet.testing.clock import ManualClock
from tests.controller.processes import running, wait_until
from tests.history.conftest import Postgres
from tests.history.world import BY, rows
from tests.notify.listeners import Listener, listening

SECRET = webhook.make_secret()


@pytest.fixture
def there() -> Iterator[Listener]:
    """A server that takes what it gets."""
    with listening() as listener:
        yield listener


@pytest.fixture
def notifier(db: Database, tmp_path: Path) -> Notifier:
    """A notifier that sends in threads of its own, as the process does."""
    settings = CentreSettings.read(state_dir=tmp_path)
    return Notifier(db=db, opener=Opener.load(tmp_path), settings=settings)


def add(db: Database, state: Path, name: str, url: str, kind: ChannelKind = ChannelKind.WEBHOOK) -> UUID:
    """Add a channel, as the API does."""
    sealed = Seal.load(state).close({"url": url, "secret": SECRET})
    rule = Rule(events=("channel.test", "host-*", "channel-*"))
    return channels.add_channel(db, name=name, kind=kind, address="a", sealed=sealed, rule=rule, **BY).id


def settled(notifier: Notifier, channel: UUID, event: UUID, state: DeliveryState) -> bool:
    """Let the notifier go on; tell whether a delivery got so far."""
    notifier.step()
    found = deliveries.delivery(notifier.db, channel, event)
    return found is not None and found.state is state


def test_a_failing_channel_gets_the_same_event_again_and_proves_it(
    notifier: Notifier, there: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    there.answers(500)
    ops = add(notifier.db, tmp_path, "ops", f"{there.url}/T0KEN")
    event = deliveries.ask_test(notifier.db, "ops", **BY)

    def failed() -> bool:
        notifier.step()
        return channels.channel(notifier.db, "ops").failures > 0

    wait_until(failed)
    assert channels.channel(notifier.db, "ops").reason == "it answered 500"
    there.answer = None
    deliveries.retry_channel(notifier.db, "ops", **BY)
    wait_until(lambda: settled(notifier, ops, event, DeliveryState.SENT))
    assert len(there.got) >= 2
    assert {got.event["id"] for got in there.got} == {str(event)}
    assert all(got.body == there.got[0].body and got.proved(SECRET) for got in there.got)
    assert all(secret not in caplog.text for secret in ("T0KEN", SECRET))


def test_one_that_hangs_keeps_no_other_waiting(notifier: Notifier, there: Listener, tmp_path: Path) -> None:
    ended = threading.Event()

    with listening() as dead:
        dead.hangs(ended)
        hanging, ops = add(notifier.db, tmp_path, "dead", dead.url), add(notifier.db, tmp_path, "ops", there.url)
        first, second = (deliveries.ask_test(notifier.db, name, **BY) for name in ("dead", "ops"))
        wait_until(lambda: settled(notifier, ops, second, DeliveryState.SENT))
        assert channels.channel(notifier.db, "dead").failures == 0, "it hangs still"
        wait_until(dead.came.is_set)
        assert settled(notifier, hanging, first, DeliveryState.WAITING)
        assert len(dead.got) == 1
        ended.set()
        wait_until(lambda: channels.channel(notifier.db, "dead").failures == 1)


def test_a_secret_of_another_key_is_told_and_not_sent(notifier: Notifier, there: Listener, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ops = add(notifier.db, other, "ops", there.url)
    deliveries.ask_test(notifier.db, "ops", **BY)

    def failed() -> bool:
        notifier.step()
        return channels.channel(notifier.db, "ops").failures > 0

    wait_until(failed)
    assert f"sealed for another {PRIVATE}" in channels.channel(notifier.db, "ops").reason
    assert (there.got, len(deliveries.waiting(notifier.db, ops, 9))) == ([], 1)


def test_conditions_are_told_and_a_freeze_keeps_those_of_its_hosts_quiet(
    notifier: Notifier, there: Listener, tmp_path: Path, clock: ManualClock
) -> None:
    notifier.db = replace(notifier.db, clock=clock)
    ops = add(notifier.db, tmp_path, "ops", there.url)
    for name in ("web-1", "db-1"):
        hosts.add_host(notifier.db, name=name, labels={}, public_key=name, kid=name, password_sha256="aa", **BY)
    freeze = stops.create_stop(notifier.db, StopKind.FREEZE, Selector(hosts=("web-*",)), **BY)
    clock.advance(7200)
    notifier.look()
    assert _told(notifier, ops) == ["db-1"]
    stops.lift_stop(notifier.db, freeze.id, **BY)
    notifier.look()
    assert _told(notifier, ops) == ["db-1"], "it looks once a minute"
    notifier._looked = None
    notifier.look()
    assert _told(notifier, ops) == ["db-1", "web-1"]


def test_it_tells_that_the_planner_is_dead(
    notifier: Notifier, there: Listener, tmp_path: Path, clock: ManualClock
) -> None:
    """It looks for itself, and what others have an event for is not told twice."""
    notifier.db = replace(notifier.db, clock=clock)
    ops = channels.add_channel(
        notifier.db, name="ops", kind=ChannelKind.WEBHOOK, address="a", sealed="s", rule=Rule(), **BY
    ).id
    (tmp_path / pulse.FILE).touch()
    ticked = (clock.now() - timedelta(minutes=2)).timestamp()
    os.utime(tmp_path / pulse.FILE, (ticked, ticked))
    notifier.look()
    event_taking.take_events(notifier.db, "urn:x")
    (row,) = deliveries.waiting(notifier.db, ops, 9)
    assert (row.told["type"], row.told["data"]["code"]) == ("fleet.condition.raised", "scheduler-late")
    assert row.told["severity"] == "error"


def test_conditions_are_looked_at_for_who_follows_too(notifier: Notifier, clock: ManualClock) -> None:
    notifier.db = replace(notifier.db, clock=clock)
    hosts.add_host(notifier.db, name="db-1", labels={}, public_key="k", kid="k", password_sha256="aa", **BY)
    clock.advance(7200)
    notifier.step()
    assert rows(notifier.db, events) == [], "nobody would hear of it"
    followed.note(notifier.db, each=False)
    notifier.step()
    assert [row["subject"] for row in rows(notifier.db, events)] == ["db-1"]


def _told(notifier: Notifier, channel: UUID) -> list[str]:
    event_taking.take_events(notifier.db, "urn:x")
    return [row.told["subject"] for row in deliveries.waiting(notifier.db, channel, 99)]


def test_a_channel_that_fails_is_a_condition(notifier: Notifier, tmp_path: Path, clock: ManualClock) -> None:
    db = replace(notifier.db, clock=clock)
    ops = add(db, tmp_path, "ops", "http://127.0.0.1:9")
    deliveries.note_came(db, ops, [], later("it answered 500"))
    assert active(db) == []
    clock.advance(660)
    (found,) = active(db)
    assert (found.code, found.subject) == ("channel-failing", "ops")
    assert "fleet notify retry ops" in found.remedy


class TestKilled:
    """As a process of its own, killed between the sending and the note of it."""

    @pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.full])])
    def url(self, request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> str:
        """An empty database of either kind."""
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            return server.url("fleet")
        (tmp_path / "fleet.db").write_bytes(migrated.read_bytes())
        return f"sqlite:///{tmp_path / 'fleet.db'}"

    def test_the_event_comes_again_with_the_same_id(self, url: str, there: Listener, tmp_path: Path) -> None:
        db = Database.open(url)
        ops = add(db, tmp_path, "ops", there.url)
        event = deliveries.ask_test(db, "ops", **BY)
        held = threading.Event()
        there.hangs(held)
        told = {"FLEET_STATE_DIR": str(tmp_path), "FLEET_DATABASE_URL": url, "FLEET_NOTIFY_EVERY_S": "0.1"}
        environment = {**os.environ, **told}
        with ExitStack() as stack:
            stack.callback(held.set)
            started = stack.enter_context(running(["notifier"], environment, tmp_path / "first.log"))
            wait_until(there.came.is_set)
            os.kill(started.pid, signal.SIGKILL)
            started.wait(60)
        found = deliveries.delivery(db, ops, event)
        assert found is not None
        assert (found.state, found.tries) == (DeliveryState.WAITING, 0)
        there.answer = None
        # What the clock would do in two minutes.
        with db.writing() as connection:
            connection.execute(update(table).values(leased_until=None))
        with running(["notifier"], environment, tmp_path / "second.log"):
            wait_until(lambda: _state(db, ops, event) is DeliveryState.SENT, 30)
        assert [got.event["id"] for got in there.got] == [str(event)] * 2
        assert there.got[0].body == there.got[1].body
        logs = (tmp_path / "first.log").read_text() + (tmp_path / "second.log").read_text()
        assert there.url not in logs
        db.close()


def _state(db: Database, channel: UUID, event: UUID) -> DeliveryState | None:
    found = deliveries.delivery(db, channel, event)
    return found.state if found else None


class TestApprise:
    """Messages in words, by Apprise's own JSON service to a real server."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("apprise")

    def test_what_fails_in_a_row_comes_as_one_message(
        self, notifier: Notifier, there: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        url = there.url.replace("http://", "json://anna:hunter2@") + "/T0KEN"
        ops = add(notifier.db, tmp_path, "ops", url, ChannelKind.APPRISE)
        tests = [deliveries.ask_test(notifier.db, "ops", **BY) for _ in range(40)]
        wait_until(lambda: settled(notifier, ops, tests[-1], DeliveryState.SENT))
        (got,) = there.got
        assert got.path == "/T0KEN"
        assert (got.event["title"], got.event["type"]) == ("ℹ Fleet: 40 events", "info")
        assert got.event["message"].count("This channel works.") == 30
        assert "and 10 more" in got.event["message"]
        # What comes within a minute is gathered.
        wait_until(lambda: channels.channel(notifier.db, "ops").due_at is not None)
        assert all(secret not in caplog.text for secret in ("hunter2", "T0KEN"))

    def test_words_of_its_own_are_sent_and_those_that_cannot_be_used_keep_nothing_back(
        self, notifier: Notifier, there: Listener, tmp_path: Path
    ) -> None:
        ops = add(notifier.db, tmp_path, "ops", there.url.replace("http://", "json://"), ChannelKind.APPRISE)
        change = ChannelChange(template=Template(title="{{ count }} for {{ channel }}", body="{{ nonsense }}"))
        channels.change_channel(notifier.db, "ops", change, **BY)
        test = deliveries.ask_test(notifier.db, "ops", **BY)
        wait_until(lambda: settled(notifier, ops, test, DeliveryState.SENT))
        wrong = there.got[-1].event
        assert wrong["title"] == "✔ a test"
        assert (
            "This channel works.\n\n(The template of this channel could not be used: body, line 1: 'nonsense'"
            in wrong["message"]
        )
        change = ChannelChange(template=Template(title="{{ count }} for {{ channel }}", body="{{ events[0].type }}"))
        channels.change_channel(notifier.db, "ops", change, **BY)
        test = deliveries.ask_test(notifier.db, "ops", **BY)
        wait_until(lambda: settled(notifier, ops, test, DeliveryState.SENT))
        assert (there.got[-1].event["title"], there.got[-1].event["message"]) == ("1 for ops", "channel.test")

    def test_a_service_that_fails_is_told_without_its_url(self, there: Listener) -> None:
        there.answers(503)
        came = by_apprise.send(there.url.replace("http://", "json://anna:hunter2@"), message(examples()[:1]))
        assert (came.sent, came.reason) == (Sent.LATER, "the service answered 503")

    def test_one_that_does_not_come_back_is_ended(self, there: Listener) -> None:
        ended = threading.Event()
        there.hangs(ended)
        came = by_apprise.send(there.url.replace("http://", "json://"), message(examples()[:1]), timeout_s=0.5)
        ended.set()
        assert (came.sent, came.reason) == (Sent.LATER, "the service did not answer within 0.5 s")

    @pytest.mark.parametrize("url", ["nonsense://hunter2", "hunter2", "json://", "syslog://hunter2", "dbus://"])
    def test_a_url_that_cannot_be_used_is_refused_without_being_quoted(self, url: str) -> None:
        with pytest.raises(BadInput, match="cannot use") as refused:
            by_apprise.check_url(url)
        assert "hunter2" not in str(refused.value)

    def test_of_a_url_its_scheme_alone_is_shown(self) -> None:
        assert by_apprise.check_url("ntfys://token@ntfy.lan/topic") == "ntfys://..."


class TestSealed:
    """Secrets of channels."""

    def test_the_database_holds_no_secret(self, db: Database, tmp_path: Path) -> None:
        add(db, tmp_path, "ops", "https://chat.lan/T0KEN")
        (row,) = rows(db, table)
        assert all(secret not in json.dumps(row, default=str) for secret in ("T0KEN", "chat.lan", SECRET))
        assert Opener.load(tmp_path).open(row["sealed"]) == {"url": "https://chat.lan/T0KEN", "secret": SECRET}
        assert (tmp_path / PRIVATE).stat().st_mode & 0o077 == 0

    def test_two_that_start_at_once_have_one_key(self, tmp_path: Path) -> None:
        made: list[str] = []
        threads = [
            threading.Thread(target=lambda: made.append(Seal.load(tmp_path).close({"a": "b"}))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [Opener.load(tmp_path).open(each) for each in made] == [{"a": "b"}] * 8

    def test_a_key_that_is_there_stays(self, tmp_path: Path) -> None:
        sealed = Seal.load(tmp_path).close({"a": "b"})
        seal._make(tmp_path / PRIVATE)
        assert Opener.load(tmp_path).open(sealed) == {"a": "b"}
        assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_events_are_looked_for_without_channels_too(notifier: Notifier) -> None:
    """They do not wait for the first channel: who adds one is not told of last month."""
    with notifier.db.writing() as connection:
        kind = (EventType.TEST, Severity.INFO)
        tell(connection, [event(id=new_id(), kind=kind, at=notifier.db.moment(connection), subject="x")])
    notifier.step()
    (row,) = rows(notifier.db, events)
    assert (row["taken_at"] is not None, row["told"]) == (True, None)
