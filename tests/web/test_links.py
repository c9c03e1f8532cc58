"""A link in a message asks before it acts, acts once, needs no login, and is whole nowhere but in the message."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from fleet.controller.notifier import Notifier
from fleet.history.notify import channels
from fleet.history.notify.channels import ChannelChange
from fleet.history.sql.database import Database
from fleet.history.tables.metadata import METADATA
from fleet.notify.seal import Opener
from fleet.notify.template import Template
from fleet.settings.centre import CentreSettings
from fleet.web.centre import Centre as Served
from fleet.web.doors import Behind
from tests.controller.centre import Centre, Inline, ScriptedHost
from tests.history.world import rows
from tests.notify.listeners import Listener, listening
from tests.web.test_pages import browser
from tests.web.test_routes import API, _move_tag, carry_out

__all__ = ["browser"]

PUBLIC = "https://fleet.lan"
ASKS = "waves:\n  - {size: rest, approval: true}\n"


@dataclass
class Link:
    """One link, as a message held it."""

    url: str

    @property
    def path(self) -> str:
        """Where it leads, without what opens it."""
        return urlsplit(self.url).path

    @property
    def secret(self) -> str:
        """What opens it."""
        return parse_qs(urlsplit(self.url).query)["secret"][0]


@dataclass
class Told:
    """A channel that listens, and what its messages held."""

    notifier: Notifier
    there: Listener

    def links(self) -> dict[str, Link]:
        """Let the notifier tell what there is; return the links of the last message, by what they do."""
        self.notifier.step()
        told = self.there.got[-1].event["data"].get("links", {})
        return {act: Link(url) for act, url in told.items() if act != "until"}


@pytest.fixture
def settings(centre: Centre) -> CentreSettings:
    """The settings of a centre that people reach."""
    web = centre.settings.web.model_copy(update={"public_url": PUBLIC})
    return centre.settings.model_copy(update={"web": web})


@pytest.fixture
def told(
    app: Behind, application: FastAPI, http: TestClient, centre: Centre, web1: ScriptedHost, settings: CentreSettings
) -> Iterator[Told]:
    """A channel that has links, and a rollout that waits for a person."""
    application.state.centre = Served(settings=settings, db=centre.db)
    with listening() as there:
        added = http.post(f"{API}/channels", json={"name": "ops", "url": there.url, "links": True})
        assert added.status_code == 201, added.text
        _move_tag(centre)
        plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]["id"]
        http.post(f"{API}/plans/{plan}/apply", json={"spec_text": ASKS})
        centre.turn()
        opener = Opener.load(settings.state_dir)
        yield Told(Notifier(db=centre.db, opener=opener, settings=settings, errands=Inline()), there)


def everything(db: Database) -> str:
    """Return all that the database holds, as text."""
    return "".join(str(rows(db, table)) for table in METADATA.sorted_tables)


def holds(http: TestClient) -> list[str]:
    """Return what holds the rollout."""
    found: list[str] = http.get(f"{API}/rollouts/1").json()["rollout"]["holds"]
    return found


def test_a_link_is_opened_without_a_login_and_does_nothing_until_its_button_is_pressed(
    told: Told, browser: TestClient, http: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    link = told.links()["approve"]
    assert link.url.startswith(f"{PUBLIC}/links/")
    before = everything(centre.db)
    for method in ("GET", "GET", "HEAD", "OPTIONS"):
        page = browser.request(method, link.url)
    page = browser.get(link.url)
    assert (page.status_code, everything(centre.db)) == (200, before), "whoever opens it changes nothing"
    assert "Approve wave 1 of rollout #1?" in page.text
    assert "<script" not in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert "script-src" not in page.headers["Content-Security-Policy"]
    done = browser.post(link.path, data={"secret": link.secret})
    assert (done.status_code, "Done: wave 1 of rollout #1 is approved" in done.text) == (200, True)
    assert holds(http) == []
    carry_out(centre, web1)
    (act,) = http.get(f"{API}/audit", params={"action": "rollout approved"}).json()["acts"]
    assert (act["who"], act["door"]) == ("channel:ops", "link testclient")
    assert act["details"]["link"] == link.path.rpartition("/")[2]


def test_a_link_works_once_and_says_so(told: Told, browser: TestClient) -> None:
    links = told.links()
    approve, abort = links["approve"], links["abort"]
    for _ in range(2):
        again = browser.post(approve.path, data={"secret": approve.secret})
    assert (again.status_code, "A link works once" in again.text) == (410, True)
    opened = browser.get(approve.url)
    assert (opened.status_code, "<button" in opened.text, "It was used at" in opened.text) == (410, False, True)
    overtaken = browser.post(abort.path, data={"secret": abort.secret})
    assert (overtaken.status_code, "was approved at" in overtaken.text) == (410, True)
    assert "wave 1 of rollout #1 is approved" in opened.text


def test_the_other_link_ends_the_rollout(told: Told, browser: TestClient, http: TestClient, centre: Centre) -> None:
    abort = told.links()["abort"]
    assert "What was updated stays so" in browser.get(abort.url).text
    assert browser.post(abort.path, data={"secret": abort.secret}).status_code == 200
    centre.turn()
    assert http.get(f"{API}/rollouts/1").json()["rollout"]["state"] == "aborted"


@pytest.mark.parametrize("given", ["", "flink-", "another's"])
def test_who_does_not_have_it_whole_learns_nothing(
    told: Told, browser: TestClient, http: TestClient, given: str
) -> None:
    links = told.links()
    link = links["approve"]
    secret = links["abort"].secret if given == "another's" else given
    pages = [
        browser.get(link.path, params={"secret": secret}),
        browser.post(link.path, data={"secret": secret}),
        browser.get(f"/links/{uuid4()}", params={"secret": link.secret}),
        browser.get("/links/x", params={"secret": link.secret}),
        browser.post(link.path, data={}),
    ]
    assert {page.status_code for page in pages} == {404}
    assert len({page.text for page in pages}) == 1
    assert holds(http) == ["approval"]


def test_a_form_of_another_site_is_not_taken(told: Told, browser: TestClient, http: TestClient) -> None:
    link = told.links()["approve"]
    for site in ("cross-site", "same-site"):
        sent = browser.post(link.path, data={"secret": link.secret}, headers={"Sec-Fetch-Site": site})
        assert sent.status_code == 422
    assert holds(http) == ["approval"]


def test_who_guesses_is_told_to_wait_and_so_is_who_knows(told: Told, browser: TestClient, application: FastAPI) -> None:
    pace = application.state.centre.link_pace
    pace.burst, pace.per_s = 3, 0.0001
    links = told.links()
    link = links["approve"]
    assert [browser.get(link.path, params={"secret": f"x{n}"}).status_code for n in range(4)] == [404, 404, 404, 429]
    late = browser.post(link.path, data={"secret": link.secret})
    assert (late.status_code, int(late.headers["Retry-After"]) > 60) == (429, True)
    assert browser.get(links["abort"].url).status_code == 200, "each link is counted by itself"


def test_what_opens_a_link_is_whole_in_its_message_alone(
    told: Told, browser: TestClient, http: TestClient, centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        link = told.links()["approve"]
        browser.get(link.url)
        browser.get(f"{link.url}x")
        browser.post(link.path, data={"secret": link.secret})
    shown = [http.get(f"{API}/{path}").text for path in ("channels", "channels/ops", "channels/ops/preview", "audit")]
    shown += [http.get(path).text for path in ("/channels", "/channels/ops", "/channels/ops/preview")]
    shown += [http.get(f"{API}/history").text, http.get(f"{API}/rollouts/1").text]
    ours = [str(vars(each)) for each in caplog.records if each.name.startswith(("fleet", "uvicorn"))]
    assert ours
    assert link.secret not in everything(centre.db) + "".join(shown + ours)
    assert link.path.rpartition("/")[2] in shown[3], "the audit names the link"
    assert "https://fleet.example/links/" in shown[2]


def test_links_are_off_unless_a_channel_is_told_to_have_them(
    told: Told, http: TestClient, browser: TestClient, centre: Centre, settings: CentreSettings
) -> None:
    with listening() as there:
        added = http.post(f"{API}/channels", json={"name": "others", "url": there.url}).json()["channel"]
        assert added["links"] is False
        told.notifier.step()
        assert [got.event["data"].get("links") for got in there.got] == [None]
        assert "fleet.example/links" not in http.get(f"{API}/channels/others/preview").text
    link = told.links()["approve"]
    assert http.patch(f"{API}/channels/ops", json={"links": False}).json()["channel"]["links"] is False
    assert browser.get(link.url).status_code == 404, "what was sent is taken back"
    acts = http.get(f"{API}/audit", params={"action": "channel edit"}).json()["acts"]
    assert acts[0]["details"] == {"links": False}


def test_what_has_no_address_for_people_any_more_is_sent_without_links(
    told: Told, centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    told.notifier.settings = centre.settings
    assert told.links() == {}
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == ["links left out"]


def test_without_an_address_for_people_no_channel_may_have_links(http: TestClient) -> None:
    refused = http.post(f"{API}/channels", json={"name": "ops", "url": "https://x.lan", "links": True})
    assert (refused.status_code, "FLEET_WEB_PUBLIC_URL" in refused.text) == (422, True)


@pytest.mark.parametrize("url", ["http://fleet.lan", "fleet.lan", "https://", "https://a:b@fleet.lan", "https://x/y"])
def test_an_address_for_people_that_cannot_be_one_is_refused(url: str, tmp_path: Any) -> None:
    with pytest.raises(Exception, match="public_url"):
        CentreSettings.read(state_dir=tmp_path, web={"public_url": url})


def test_the_same_message_is_sent_twice_with_the_same_links(told: Told, http: TestClient) -> None:
    told.there.answers(500)
    told.notifier.step()
    told.there.answer = None
    http.post(f"{API}/channels/ops/retry")
    told.notifier.step()
    first, second = (json.loads(got.body) for got in told.there.got)
    assert first == second
    assert first["data"]["links"]["approve"]


def test_people_read_the_links_and_no_log_does(
    told: Told, http: TestClient, centre: Centre, browser: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A template that fails may quote what it was given."""
    pytest.importorskip("apprise")
    with listening() as chat:
        url = chat.url.replace("http://", "json://")
        assert http.post(f"{API}/channels", json={"name": "chat", "url": url, "links": True}).status_code == 201
        change = ChannelChange(template=Template(body="{{ {}[events[0].links.approve] }}"))
        channels.change_channel(centre.db, "chat", change, by="person:test", door="test")
        with caplog.at_level(logging.DEBUG):
            told.notifier.step()
        message = chat.got[-1].event["message"]
    (url,) = (line.partition(": ")[2] for line in message.splitlines() if line.startswith("approve: "))
    assert "each link works once, for whoever has it, until 20" in message
    (warned,) = (each for each in caplog.records if each.message == "template not used")
    assert vars(warned)["place"] == "body, line 1"
    ours = [str(vars(each)) for each in caplog.records if each.name.startswith("fleet")]
    assert Link(url).secret not in "".join(ours)
    assert browser.post(Link(url).path, data={"secret": Link(url).secret}).status_code == 200
