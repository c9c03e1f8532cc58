"""Channels from the command line, and what stands of them where."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.controller.notifier import Notifier
from fleet.history.notify import channels, event_taking
from fleet.history.notify.channels import ChannelChange
from fleet.notify.seal import Opener
from tests.cli.conftest import Fleet
from tests.controller.centre import Centre
from tests.notify.listeners import Listener, listening

pytestmark = [pytest.mark.usefixtures("served"), pytest.mark.redis]


@pytest.fixture
def there() -> Iterator[Listener]:
    """A server that takes what it gets."""
    with listening() as listener:
        yield listener


@pytest.fixture
def telling(centre: Centre) -> Iterator[Notifier]:
    """A notifier that goes on beside the command."""
    notifier = Notifier(db=centre.db, opener=Opener.load(centre.settings.state_dir), settings=centre.settings)
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.05):
            notifier.step()

    thread = threading.Thread(target=go_on)
    thread.start()
    yield notifier
    ended.set()
    thread.join()


def test_a_channel_is_added_tested_shown_and_removed(
    fleet: Fleet, there: Listener, telling: Notifier, tmp_path: Path
) -> None:
    ran = fleet("notify", "add", "ops", f"{there.url}/T0KEN?key=hunter2")
    assert (ran.code, len(ran.lines)) == (0, 1), ran.err
    secret = ran.lines[0]
    assert "this one time" in ran.err
    tested = fleet("notify", "test", "ops")
    assert (tested.code, tested.lines) == (0, ["channel ops took the test"]), tested.err
    assert there.got[0].path == "/T0KEN?key=hunter2"
    assert there.got[0].proved(secret)
    shown = fleet("notify", "show", "ops").out
    assert "ok" in shown
    assert "sent  a test" in shown
    listed = fleet("notify", "ls", "-o", "wide").out
    assert there.url in listed
    told = "".join((shown, listed, fleet("notify", "ls", "-o", "json").out, fleet("audit", "-o", "json").out))
    assert all(each not in told for each in ("T0KEN", "hunter2", secret))
    assert [line["action"] for line in json.loads(fleet("audit", "-o", "json").out)["acts"]][:2] == [
        "channel test", "channel add"
    ]  # fmt: skip
    assert fleet("notify", "rm", "ops", "-y").code == 0
    assert fleet("notify", "show", "ops").code == 5


def test_a_test_that_fails_says_why_and_ends_with_an_error(fleet: Fleet, there: Listener, telling: Notifier) -> None:
    there.answers(410)
    fleet("notify", "add", "ops", there.url)
    ran = fleet("notify", "test", "ops")
    assert (ran.code, ran.lines) == (1, ["channel ops did not: it answered 410: it is gone for good"])
    assert fleet("notify", "ls", "--columns", "state", "--no-headers").lines == ["gone"]
    there.answer = None
    assert "with 1 events" in fleet("notify", "retry", "ops").out
    assert fleet("notify", "test", "ops").code == 0


def test_url_and_secret_may_come_from_files(fleet: Fleet, there: Listener, telling: Notifier, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{there.url}/a\n")
    secret = f"whsec_{'QUJD' * 10}"
    (tmp_path / "secret").write_text(f"{secret}\n")
    files = ("--url-file", str(tmp_path / "url"), "--secret-file", str(tmp_path / "secret"))
    ran = fleet("notify", "add", "ops", *files)
    assert (ran.code, ran.out) == (0, "")
    assert fleet("notify", "test", "ops").code == 0
    assert there.got[0].proved(secret)


def test_a_preview_is_what_is_sent(fleet: Fleet) -> None:
    fleet("notify", "add", "ops", "https://chat.lan/x", "--event", "update.*", "--severity", "error")
    ran = fleet("notify", "preview", "ops")
    assert ran.lines[0] == "--- update.failed"
    event = json.loads("\n".join(ran.lines[1:]))
    assert (event["specversion"], event["type"], event["data"]["host"]) == ("1.0", "fleet.update.failed", "web-1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ops",), "cannot add a channel without one URL"),
        (("ops", "https://anna:hunter2@x/"), "cannot use a URL with a user in it"),
        (("ops", "hunter2"), "cannot use this URL"),
        (("ops", "https://x/", "--event", "mirror-dwon"), "cannot tell of 'mirror-dwon'"),
        (("ops", "https://x/", "--secret-file", "/nowhere"), "cannot read /nowhere"),
        (("of course", "https://x/hunter2"), "cannot use"),
        (("ops", "https://x/" + "hunter2" * 1000), "cannot use"),
    ],
)
def test_what_cannot_be_used_is_said_without_a_secret(fleet: Fleet, words: tuple[str, ...], says: str) -> None:
    ran = fleet("notify", "add", *words)
    assert (ran.code, ran.err.startswith(says)) == (1, True), ran.err
    assert "hunter2" not in ran.out + ran.err


def test_a_channel_is_edited_and_says_what_it_is(fleet: Fleet) -> None:
    fleet(
        "notify", "add", "ops", "https://chat.lan/x", "--quiet", "start=22:00 duration=9h tz=Europe/Berlin days=sat,sun"
    )
    shown = fleet("notify", "edit", "ops", "--severity", "warning", "--quiet-passes", "nothing")
    assert shown.code == 0, shown.err
    assert "quiet sat, sun 22:00 for 9h, Europe/Berlin: nothing is told all the same" in shown.out
    assert "warning and worse" in shown.out
    assert "quiet" not in fleet("notify", "edit", "ops", "--no-quiet").out
    for words, says in (
        ((), "cannot edit a channel without a change"),
        (("--quiet", "22:00"), "cannot use '22:00' as quiet hours"),
        (("--quiet", "start=22:00"), "cannot use"),
        (("--quiet", "start=00:00 duration=24h"), "cannot use these quiet hours: they never end"),
        (("--quiet", "start=22:00 duration=9h tz=Mars"), "cannot use the quiet hours: windows.0.tz"),
        (("--no-template", "--format", "html"), "cannot both take something away and give it"),
        (("--title-template", "{{ title }}"), "cannot use a template with a webhook"),
    ):
        ran = fleet("notify", "edit", "ops", *words)
        assert (ran.code, ran.err.startswith(says)) == (1, True), ran.err


def test_a_template_is_tried_and_kept(fleet: Fleet, tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    fleet("notify", "add", "ops", "json://chat.lan/x", "--event", "update.failed")
    (tmp_path / "good").write_text("{{ events[0].host }} is down")
    (tmp_path / "bad").write_text("{{ title }}\n{{ hsot }}")
    tried = fleet("notify", "preview", "ops", "--template-file", str(tmp_path / "good"))
    assert (tried.code, tried.lines) == (0, ["--- update.failed", "✖ web-1/shop: update failed", "web-1 is down"])
    wrong = fleet("notify", "preview", "ops", "--template-file", str(tmp_path / "bad"))
    assert (wrong.code, "cannot use the template: body, line 2: 'hsot' is undefined" in wrong.err) == (1, True)
    assert "web-1 is down" not in fleet("notify", "preview", "ops").out, "nothing was changed"
    refused = fleet("notify", "edit", "ops", "--template-file", str(tmp_path / "bad"))
    assert refused.err.startswith("cannot use the template: body, line 2: 'hsot' is undefined (of update.failed)")
    kept = fleet("notify", "edit", "ops", "--template-file", str(tmp_path / "good"), "--format", "markdown")
    assert "words of its own, as markdown" in kept.out
    assert "web-1 is down" in fleet("notify", "preview", "ops").out
    assert "words of its own" not in fleet("notify", "edit", "ops", "--no-template").out


def test_without_a_notifier_a_test_is_not_waited_for_without_end(
    fleet: Fleet, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.cli.notify.TEST_S", 0.2)
    fleet("notify", "add", "ops", "https://x.lan/")
    ran = fleet("notify", "test", "ops")
    assert (ran.code, "does the notifier run?" in ran.err) == (7, True)
    assert event_taking.take_events(centre.db, "urn:x") == 1


def test_links_are_off_and_need_an_address_for_people(fleet: Fleet, there: Listener) -> None:
    fleet("notify", "add", "ops", there.url)
    assert "links" not in fleet("notify", "show", "ops").out
    refused = fleet("notify", "edit", "ops", "--links")
    assert (refused.code, "FLEET_WEB_PUBLIC_URL" in refused.err) == (1, True), refused.err
    assert fleet("notify", "edit", "ops", "--no-links").code == 0


def test_a_channel_that_has_links_says_so(fleet: Fleet, there: Listener, centre: Centre) -> None:
    fleet("notify", "add", "ops", there.url)
    channels.change_channel(centre.db, "ops", ChannelChange(links=True), by="person:test", door="test")
    assert "has links that approve or abort a rollout that waits" in fleet("notify", "show", "ops").out
    assert "has links" not in fleet("notify", "edit", "ops", "--no-links").out
