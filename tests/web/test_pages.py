"""What a browser is shown: pages over what the API answers, the login's cookie, and nothing that runs."""

import csv
import html
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO

import pytest
from starlette.testclient import TestClient

from fleet.api.probes import ProbeEntry
from fleet.history import channels, deliveries
from fleet.history.measured_inventory import Inventory
from fleet.history.words import Scope
from fleet.mirrors.probe import ProbeState
from fleet.notify.sent import later
from fleet.updates.outcome import Result
from fleet.web import standing
from fleet.web.callers import Caller
from fleet.web.doors import Behind, Door
from fleet.web.pages import fleet, history, hosts, mirrors
from fleet.web.pages.shell import _templates
from fleet.web.pages.visitors import COOKIE, LARGEST_FORM
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost, nginx
from tests.history.facts import write_facts
from tests.web.test_routes import API, _move_tag, carry_out

PAGES = ("/", "/hosts", "/outdated", "/rollouts", "/history", "/mirrors", "/schedules", "/channels")
NAME = "<b>x</b>"
"""What somebody may write into a label, to see whether a browser would take it for markup."""


@pytest.fixture
def browser(app: Behind) -> TestClient:
    """A browser at the port, which follows no redirect by itself."""
    return TestClient(
        Behind(app.app, Door.PORT),
        base_url="https://fleet.lan",
        raise_server_exceptions=False,
        follow_redirects=False,
    )


@pytest.fixture
def updated(http: TestClient, centre: Centre, web1: ScriptedHost) -> str:
    """One update that went well; its id."""
    _move_tag(centre)
    plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
    assert http.post(f"{API}/plans/{plan['id']}/apply", json={}).status_code in (200, 201)
    carry_out(centre, web1)
    (outcome,) = http.get(f"{API}/history").json()["outcomes"]
    return str(outcome["id"])


def enter(browser: TestClient, token: str, target: str = "/") -> int:
    """Log in; return the status."""
    return browser.post("/login", data={"token": token, "next": target}).status_code


def token_of(http: TestClient) -> str:
    return str(http.post(f"{API}/tokens", json={"name": "eye", "scope": "read"}).json()["secret"])


class _Markup(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_page_says_what_a_rollout_brings_and_what_to_answer_to_what_holds_it(
    http: TestClient, browser: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    """A reason that a person gave is no error, and no command is offered that would do something else."""
    _move_tag(centre)
    plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
    http.post(f"{API}/plans/{plan['id']}/apply", json={"reason": "CVE-2026-1"})
    http.post(f"{API}/rollouts/1/pause", json={})
    enter(browser, token_of(http))
    page = browser.get("/rollouts/1").text
    assert "Held: user (a person paused it); let it go on: fleet rollout resume 1" in page
    assert f"{OLD[7:19]}\u00a0→ {NEW[7:19]}</span> to 1 container<" in page
    assert "<dt>Reason</dt><dd>CVE-2026-1</dd>" in page
    id = http.get(f"{API}/rollouts/1").json()["rollout"]["id"]
    assert {browser.get(f"/rollouts/{name}").text for name in ("%231", id, id[-8:])} == {page}
    http.post(f"{API}/rollouts/1/resume", json={})
    carry_out(centre, web1, Result.ROLLED_BACK)
    (outcome,) = http.get(f"{API}/history").json()["outcomes"]
    shown = browser.get(f"/history/{outcome['id']}").text
    assert '<a href="/rollouts/1">rollout #1</a>' in shown
    assert "Digest tried" in shown
    assert "fleet undo" not in shown  # it runs what it ran before


def test_a_schedule_says_when_it_runs_there_and_what_changes_of_clocks_do_to_it(
    http: TestClient, browser: TestClient, centre: Centre
) -> None:
    """A night in which half past two does not exist, or comes twice, is found by no list of the next three runs."""
    told = {"name": "nightly", "cron": "30 2 * * *", "zone": "Europe/Berlin", "action": "check"}
    assert http.post(f"{API}/schedules", json=told).status_code == 201
    enter(browser, token_of(http))
    page = browser.get("/schedules").text
    assert page.count(" 02:30 +0") >= 2
    assert "02:30 does not exist in Europe/Berlin on " in page
    assert "02:30 comes twice in Europe/Berlin on " in page


def test_what_is_outdated_is_seen_without_a_terminal(
    http: TestClient, browser: TestClient, centre: Centre, web1: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the fleet and on its host; what is not known is not said to be current."""
    monkeypatch.setattr(standing, "_SHARE", 0)  # however long it took, it is counted anew
    enter(browser, token_of(http))
    assert "0 outdated, 1 unknown, 0 current." in browser.get("/outdated").text
    assert '<b>0</b> <a href="/outdated">outdated</a>, 1 unknown<' in browser.get("/").text
    _move_tag(centre)
    page = browser.get("/outdated").text
    assert "1 outdated, 0 unknown, 0 current; the check that is longest ago was 0s ago." in page
    assert f"{OLD[7:19]}\u00a0→ {NEW[7:19]}" in page
    assert '<span class="chip care">outdated</span>' in browser.get("/hosts/web-1").text
    assert '<b>1</b> <a href="/outdated">outdated</a><' in browser.get("/").text
    web1.snapshot(nginx(digest=NEW))
    centre.turn()
    assert "Nothing is outdated." in browser.get("/outdated").text
    assert '<span class="chip good">current</span>' in browser.get("/hosts/web-1").text


def test_a_query_is_taken_away_as_a_file(http: TestClient, browser: TestClient, updated: str) -> None:
    """What the history shows, with nothing that a spreadsheet would calculate, for whoever may see it."""
    assert browser.get("/history.csv").status_code == 303
    enter(browser, token_of(http))
    assert 'href="/history.csv?q=host%3Aweb-1"' in browser.get("/history?q=host:web-1").text
    answer = browser.get("/history.csv?q=host:web-1")
    assert (answer.headers["content-type"], "attachment" in answer.headers["content-disposition"]) == (
        "text/csv; charset=utf-8",
        True,
    )
    (row,) = csv.DictReader(StringIO(answer.text))
    assert (row["id"], row["host"], row["rollout"], row["new_digest"]) == (updated, "web-1", "1", NEW)
    assert list(csv.DictReader(StringIO(browser.get("/history.csv?q=host:web-2").text))) == []
    assert browser.get("/history.csv?q=outcome:bogus").status_code == 422


def test_a_long_answer_is_a_file_of_many_pages(
    http: TestClient, browser: TestClient, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page goes on where the one before ended, and the file ends where it is to."""
    write_facts(centre.db, 12, seed=2, now=centre.db.now())
    enter(browser, token_of(http))
    monkeypatch.setattr(history, "LARGEST_PAGE", 5)
    ids = [row["id"] for row in csv.DictReader(StringIO(browser.get("/history.csv").text))]
    assert ids == [row["id"] for row in http.get(f"{API}/history").json()["outcomes"]]
    assert len(ids) == 12
    monkeypatch.setattr(history, "MOST_LINES", 3)
    assert [row["id"] for row in csv.DictReader(StringIO(browser.get("/history.csv").text))] == ids[:3]


def test_a_large_fleet_is_shown_in_part_and_found_by_name_and_label(
    http: TestClient, browser: TestClient, centre: Centre, web1: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page grows with the fleet; what fits no page has a link, or the command that shows it."""
    for name in ("db-1", "web-2", "web-3"):
        host = centre.add_host(name)
        host.heartbeat()
        host.snapshot(nginx())
    centre.turn()
    _move_tag(centre)
    plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
    http.post(f"{API}/plans/{plan['id']}/apply", json={})
    enter(browser, token_of(http))
    monkeypatch.setattr(hosts, "MOST_ROWS", 2)
    monkeypatch.setattr(fleet, "MOST_ROWS", 3)
    page = browser.get("/hosts").text
    assert re.findall(r'href="/hosts/([a-z0-9-]+)"', page) == ["db-1", "web-1"]
    more = html.unescape(str(re.search(r'<a href="(/hosts[^"]*)" rel="next"', page)[1]))  # type: ignore[index]
    assert re.findall(r'href="/hosts/([a-z0-9-]+)"', browser.get(more).text) == ["web-2", "web-3"]
    assert "and 1 more: <code>fleet rollout show 1</code>" in browser.get("/rollouts/1").text
    assert "and 1 more: <code>fleet outdated</code>" in browser.get("/outdated").text
    assert "3 hosts" in browser.get("/hosts?q=web-*").text
    assert "No host fits." in browser.get("/hosts?q=site=paris").text
    wrong = browser.get("/hosts?q=nobody")
    assert (wrong.status_code, "cannot find a host" in wrong.text) == (422, True)


def test_mirrors_are_shown_once_for_all_hosts_that_found_the_same() -> None:
    """What is not well stands first; of a thousand hosts nobody reads a thousand rows."""
    at = datetime(2026, 11, 27, tzinfo=UTC)
    rows = [
        ProbeEntry(host=f"web-{n}", mirror=mirror, registry="docker.io", state=state, reason="", duration_ms=n, at=at)
        for n in range(1, 8)
        for mirror, state in (("https://a.lan", ProbeState.OK), ("https://b.lan", ProbeState.DOWN))
    ]
    down, well = mirrors.findings(rows)
    assert ([row.mirror for row in down[:1]], len(down), len(well)) == (["https://b.lan"], 7, 7)
    shown = (
        _templates()
        .get_template("mirrors.html")
        .render(
            **{
                "findings": [down, well],
                "rules": [],
                "sources": [],
                "days": 14,
                "visitor": Caller(who="token:eye", door=Door.PORT, scope=Scope.READ),
            },
            **{"rooms": (), "here": "", "version": "", "style": ""},
        )
    )
    assert "and 2 more" in shown
    assert "1 ms to 7 ms" in shown


class TestLogin:
    @pytest.mark.parametrize("path", [*PAGES, "/hosts/web-1", "/history/1", "/rollouts/1"])
    def test_whoever_is_not_known_is_sent_to_the_login(self, browser: TestClient, path: str) -> None:
        answer = browser.get(path, params={"q": "host:a b"})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")
        assert "host" in answer.headers["location"]

    def test_a_token_lets_in_and_leads_to_where_one_wanted(self, browser: TestClient, http: TestClient) -> None:
        answer = browser.post("/login", data={"token": token_of(http), "next": "/history?q=a%20b"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/history?q=a%20b")
        for path in PAGES:
            assert browser.get(path).status_code == 200
        assert "token:eye" in browser.get("/").text

    def test_no_script_and_no_other_site_gets_the_cookie(self, browser: TestClient, http: TestClient) -> None:
        answer = browser.post("/login", data={"token": token_of(http), "next": "/"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(re.split(r"; ", cookie))
        assert "Domain" not in cookie

    @pytest.mark.parametrize(
        "target", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "", "/a\r\nb"]
    )
    def test_a_login_leads_to_no_other_place(self, browser: TestClient, http: TestClient, target: str) -> None:
        answer = browser.post("/login", data={"token": token_of(http), "next": target})
        assert answer.headers["location"] == "/"

    def test_a_wrong_token_is_told_so_and_not_repeated(self, browser: TestClient) -> None:
        answer = browser.post("/login", data={"token": "fpat_wrong", "next": "/"})
        assert answer.status_code == 401
        assert "cannot proceed with this token" in answer.text
        assert "fpat_wrong" not in answer.text and "set-cookie" not in answer.headers

    def test_a_revoked_token_ends_the_visit(self, browser: TestClient, http: TestClient) -> None:
        enter(browser, token_of(http))
        assert http.delete(f"{API}/tokens/eye").status_code == 200
        assert browser.get("/").status_code == 303

    def test_after_leaving_the_browser_has_no_token(self, browser: TestClient, http: TestClient) -> None:
        enter(browser, token_of(http))
        assert browser.post("/logout").headers["location"] == "/login"
        assert browser.get("/").status_code == 303

    def test_a_form_of_another_site_is_refused(self, browser: TestClient, http: TestClient) -> None:
        secret, elsewhere = token_of(http), {"Sec-Fetch-Site": "cross-site"}
        answer = browser.post("/login", data={"token": secret, "next": "/"}, headers=elsewhere)
        assert answer.status_code == 422
        assert "cannot take a form that another site sent" in answer.text

    def test_a_form_that_is_too_large_is_refused(self, browser: TestClient) -> None:
        answer = browser.post("/login", content=b"token=" + b"x" * LARGEST_FORM)
        assert answer.status_code == 422

    def test_the_api_takes_no_cookie(self, browser: TestClient, http: TestClient) -> None:
        enter(browser, token_of(http))
        assert browser.get(f"{API}/hosts").status_code == 401

    def test_the_socket_needs_no_login(self, http: TestClient) -> None:
        assert http.get("/").status_code == 200


class TestPages:
    @pytest.mark.parametrize("path", [*PAGES, "/login", "/hosts/web-1", "/hosts/nobody", "/history?q=host:"])
    def test_a_browser_is_told_to_run_nothing(self, http: TestClient, web1: ScriptedHost, path: str) -> None:
        answer = http.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';") and "script" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        for tag, attributes in _Markup(answer.text).tags:
            assert tag != "script"
            assert not [name for name in attributes if name.startswith("on") or name == "style"]

    def test_every_link_of_every_page_leads_to_a_page(self, http: TestClient, updated: str) -> None:
        """Whoever clicks on what they see finds nothing that is not there."""
        seen: set[str] = set()
        ahead = list(PAGES)
        while ahead:
            path = ahead.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = http.get(path)
            assert answer.status_code == 200, path
            found = [attributes.get("href") or "" for tag, attributes in _Markup(answer.text).tags if tag == "a"]
            ahead += [link for link in found if link.startswith("/")]
        assert {f"/history/{updated}", "/hosts/web-1", "/rollouts/1"} <= seen

    def test_the_style_sheet_needs_no_login_and_is_kept(self, browser: TestClient) -> None:
        (link,) = [a["href"] for tag, a in _Markup(browser.get("/login").text).tags if a.get("rel") == "stylesheet"]
        answer = browser.get(str(link))
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/css")
        assert "immutable" in answer.headers["cache-control"]

    def test_what_is_not_there_is_said_on_a_page(self, http: TestClient) -> None:
        answer = http.get("/hosts/nobody")
        assert answer.status_code == 404
        assert "cannot find" in answer.text and answer.headers["content-type"].startswith("text/html")

    def test_a_browser_reads_a_page_also_of_what_nobody_foresaw(
        self, http: TestClient, browser: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And what speaks to the API reads JSON, whatever it takes besides."""
        html = {"Accept": "text/html,*/*;q=0.8"}
        answer = http.get("/nowhere", headers=html)
        assert (answer.status_code, "cannot find the page /nowhere" in answer.text) == (404, True)
        assert "<nav" in answer.text and "script" not in answer.headers["content-security-policy"]
        for path in (f"{API}/nowhere", "/nowhere"):
            given = html if path.startswith(API) else {}
            assert http.get(path, headers=given).headers["content-type"] == "application/problem+json"
        enter(browser, token_of(http))
        monkeypatch.setattr("fleet.web.hosts.list_hosts", lambda *_: 1 / 0)
        answer = browser.get("/hosts", headers=html)
        assert (answer.status_code, "see the log of the web process" in answer.text) == (500, True)
        assert answer.headers["content-type"].startswith("text/html") and "ZeroDivision" not in answer.text

    def test_a_container_that_runs_is_shown_as_good_and_a_rollout_that_runs_is_not_over(self) -> None:
        """One word, two things: green says that nobody need look."""
        shown = _templates().get_template("parts.html").module
        kinds = {
            state: re.search(r"chip (\w+)", shown.running(replace(nginx(), state=state))).group(1)  # type: ignore[attr-defined, union-attr]
            for state in ("running", "exited", "restarting", "dead")
        }
        assert kinds == {"running": "good", "exited": "care", "restarting": "care", "dead": "bad"}
        assert "chip bad" in shown.running(nginx(health="unhealthy"))  # type: ignore[attr-defined]
        assert "chip care" in shown.state("running")  # type: ignore[attr-defined]

    def test_the_overview_says_how_many_hosts_are_not_online(
        self, http: TestClient, web1: ScriptedHost, centre: Centre
    ) -> None:
        centre.add_host("web-2")
        words = " ".join(_Markup(http.get("/").text).words.split())
        assert "1 of 2 hosts online, 1 new" in words

    def test_an_empty_fleet_says_how_to_begin(self, http: TestClient) -> None:
        assert "fleet host add NAME" in http.get("/").text
        assert "fleet host add NAME" in http.get("/hosts").text


class TestHistory:
    def test_an_outcome_is_found_by_a_query_and_told_in_full(self, http: TestClient, updated: str) -> None:
        page = _Markup(http.get("/history", params={"q": "host:web-1 outcome:updated"}).text)
        assert ("a", {"href": f"/history/{updated}"}) in page.tags
        shown = _Markup(http.get(f"/history/{updated}").text)
        whole = http.get(f"{API}/history/{updated}").json()
        for attempt in whole["pull"]["attempts"]:
            assert attempt["mirror"] in shown.words
        assert whole["update"]["new_digest"] in shown.words
        assert "fleet undo web-1 web" in shown.words

    def test_a_rollout_and_its_way_back_name_each_other(self, http: TestClient, updated: str) -> None:
        assert "Undone by" not in http.get("/rollouts/1").text
        http.post(f"{API}/rollouts/1/undo", json={})
        assert ("a", {"href": "/rollouts/2"}) in _Markup(http.get("/rollouts/1").text).tags
        assert ("a", {"href": "/rollouts/1"}) in _Markup(http.get("/rollouts/2").text).tags

    def test_what_went_back_is_told_as_at_a_terminal(self, http: TestClient, updated: str) -> None:
        text = _templates().get_template("parts.html").module.result("updated", True)  # type: ignore[attr-defined]
        assert _Markup(text).words.strip() == "went back"
        assert "updated" in _Markup(http.get(f"/history/{updated}").text).words

    def test_a_host_that_was_removed_keeps_its_page(self, http: TestClient, updated: str) -> None:
        """The history names it, and whoever follows the name reads what was done on it."""
        assert http.delete(f"{API}/hosts/web-1").status_code == 200
        answer = http.get("/hosts/web-1")
        assert answer.status_code == 200
        assert "This host was removed at" in answer.text
        assert f"/history/{updated}" in answer.text
        (link,) = re.findall(r'/history[?]q=host[^"]+', answer.text)
        assert updated in http.get(link).text

    def test_what_does_not_fit_is_not_shown(self, http: TestClient, updated: str) -> None:
        answer = http.get("/history", params={"q": "-host:web-1"})
        assert updated not in answer.text and "Nothing in the history fits" in answer.text

    def test_a_mistake_is_shown_at_its_place(self, http: TestClient) -> None:
        answer = http.get("/history", params={"q": 'host:web-1 "open'})
        assert answer.status_code == 422
        words = _Markup(answer.text).words
        assert "cannot understand the query at character 12: this quote is never closed" in words
        assert '  host:web-1 "open\n' + " " * 13 + "^" in words

    def test_the_same_can_be_asked_at_a_terminal(self, http: TestClient) -> None:
        words = _Markup(http.get("/history", params={"q": "host:web-1 $(reboot)"}).text).words
        assert "fleet history 'host:web-1 $(reboot)' --all -o csv" in words

    def test_pages_follow_one_another(self, http: TestClient, centre: Centre) -> None:
        hosts = [centre.add_host(name) for name in ("web-1", "web-2", "web-3")]
        for host in hosts:
            host.snapshot(nginx())
        centre.turn()
        _move_tag(centre)
        plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
        assert http.post(f"{API}/plans/{plan['id']}/apply", json={}).status_code in (200, 201)
        for host in hosts:
            carry_out(centre, host)
        link, shown = "/history?q=outcome:updated&limit=1", []
        while link:
            page = _Markup(http.get(link).text)
            links = [str(a["href"]) for tag, a in page.tags if tag == "a" and a.get("href")]
            shown += [found.rpartition("/")[2] for found in links if found.startswith("/hosts/")]
            link = next((str(a["href"]) for tag, a in page.tags if a.get("rel") == "next"), "")
        assert sorted(shown) == ["web-1", "web-2", "web-3"]

    def test_words_of_others_are_no_markup(self, http: TestClient, web1: ScriptedHost) -> None:
        assert http.patch(f"{API}/hosts/web-1", json={"labels": {"note": NAME}}).status_code == 200
        for path, given in (("/hosts", {}), ("/hosts/web-1", {}), ("/history", {"q": f'"{NAME}"'})):
            answer = http.get(path, params=given)
            assert NAME not in answer.text and "&lt;b&gt;x&lt;/b&gt;" in answer.text


def test_a_channel_that_fails_says_why_and_shows_no_secret(http: TestClient, centre: Centre) -> None:
    body = {"name": "ops", "url": "https://chat.lan/T0KEN", "selector": {"hosts": ["web-*"], "labels": {"a": "b"}}}
    secret = http.post(f"{API}/channels", json=body).json()["secret"]
    row = channels.channel(centre.db, "ops")
    event = deliveries.ask_test(centre.db, "ops", by="person:x", door="socket")
    assert "It was told nothing yet" in http.get("/channels/ops").text
    deliveries.take_events(centre.db, "urn:x")
    deliveries.note_came(centre.db, row.id, [event], later("it answered 500"))
    for path, shown in (("/channels", "it answered 500"), ("/channels/ops", "fleet notify retry ops")):
        text = http.get(path).text
        assert shown in text
        assert "https://chat.lan" in text
        assert all(each not in text for each in ("T0KEN", secret))
    assert "hosts web-*; labels a=b" in http.get("/channels/ops").text
    assert "channel.test" in http.get("/channels/ops").text


def test_what_takes_long_to_count_is_counted_rarely(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fiftieth of the time at most, however often a page is asked for."""
    counted: list[float] = []
    now = [100.0]

    def count(_db: object) -> Inventory:
        counted.append(now[0])
        now[0] += 2.0
        return Inventory(states={}, followed={"outdated": len(counted)})

    monkeypatch.setattr(standing, "measure_inventory", count)
    kept = standing.StandingCount(monotonic=lambda: now[0])
    for _ in range(12):
        kept.of(centre.db)
        now[0] += 10.0
    assert counted == [100.0, 202.0]
