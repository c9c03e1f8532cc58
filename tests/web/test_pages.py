"""What a browser is shown: pages over what the API answers, the login's cookie, and nothing that runs."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from fleet.history.notify import channels, deliveries, event_taking
from fleet.notify.sent import later
from fleet.web.doors import Behind, Door
from fleet.web.pages.shell import _templates
from fleet.web.pages.visitors import COOKIE, LARGEST_FORM
from tests.controller.centre import Centre, ScriptedHost, nginx
from tests.web.test_routes import API, _move_tag, carry_out

PAGES = (
    "/",
    "/hosts",
    "/outdated",
    "/rollouts",
    "/history",
    "/who-runs",
    "/mirrors",
    "/schedules",
    "/channels",
    "/receivers",
)
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
        monkeypatch.setattr("fleet.web.hosts.page_of_hosts", lambda *_, **__: 1 / 0)
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

    def test_a_host_tells_of_its_rollouts(self, http: TestClient, updated: str) -> None:
        """Also where nothing came of one, so that no outcome leads to it."""
        section = http.get("/hosts/web-1").text.partition("Latest rollouts")[2].partition("<h2>")[0]
        assert '<a href="/rollouts/1">#1</a>' in section
        assert ">succeeded<" in section

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


def test_words_of_a_channel_are_tried_on_its_page_and_nothing_is_changed(http: TestClient, browser: TestClient) -> None:
    pytest.importorskip("apprise")
    body = {"name": "ops", "url": "json://chat.lan/x", "events": ["update.failed"]}
    assert http.post(f"{API}/channels", json=body).status_code == 201
    assert "web-1/shop: update failed" in http.get("/channels/ops/preview").text
    words = {
        "title_template": "{{ count }} of <b>ops</b>",
        "body_template": "a\r\n{{ events[0].host }}!",
        "format": "text",
    }
    tried = http.post("/channels/ops/preview", data=words)
    assert tried.status_code == 200
    assert "1 of &lt;b&gt;ops&lt;/b&gt;" in tried.text
    assert ">a\nweb-1!</pre>" in tried.text
    wrong = http.post("/channels/ops/preview", data={**words, "body_template": "\n{{ nonsense }}"})
    assert "body, line 2: &#39;nonsense&#39; is undefined" in wrong.text
    for odd in ({"format": "pdf"}, {"body_template": "x" * 20_001}):
        assert http.post("/channels/ops/preview", data={**words, **odd}).status_code == 422
    assert http.post("/channels/ops/preview", data=words, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 422
    assert http.get(f"{API}/channels/ops").json()["channel"]["title_template"] == ""
    assert enter(browser, token_of(http)) == 303
    assert "needs a token of scope write" in browser.get("/channels/ops/preview").text
    refused = browser.post("/channels/ops/preview", data=words)
    assert (refused.status_code, "it needs write" in refused.text) == (401, True)


def test_a_channel_that_fails_says_why_and_shows_no_secret(http: TestClient, centre: Centre) -> None:
    body = {"name": "ops", "url": "https://chat.lan/T0KEN", "selector": {"hosts": ["web-*"], "labels": {"a": "b"}}}
    secret = http.post(f"{API}/channels", json=body).json()["secret"]
    row = channels.channel(centre.db, "ops")
    event = deliveries.ask_test(centre.db, "ops", by="person:x", door="socket")
    assert "It was told nothing yet" in http.get("/channels/ops").text
    event_taking.take_events(centre.db, "urn:x")
    deliveries.note_came(centre.db, row.id, [event], later("it answered 500"))
    for path, shown in (("/channels", "it answered 500"), ("/channels/ops", "fleet notify retry ops")):
        text = http.get(path).text
        assert shown in text
        assert "https://chat.lan" in text
        assert all(each not in text for each in ("T0KEN", secret))
    assert "hosts web-*; labels a=b" in http.get("/channels/ops").text
    assert "channel.test" in http.get("/channels/ops").text


@pytest.mark.parametrize("path", ["/history?q=", "/history?page=", "/history.csv?q=", "/rollouts?page=", "/hosts?q="])
def test_a_nul_is_refused_on_a_page(http: TestClient, path: str) -> None:
    answer = http.get(f"{path}%00", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
