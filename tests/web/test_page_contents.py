"""What pages show of the fleet, and how much of it at most."""

import csv
import html
import re
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from starlette.testclient import TestClient

from fleet.api.probes import ProbeEntry
from fleet.history.tables.words import Scope
from fleet.mirrors.probe import ProbeState
from fleet.road.messages import Heartbeat, HostFacts
from fleet.updates.outcome import Result
from fleet.web.callers import Caller
from fleet.web.doors import Door
from fleet.web.pages import fleet, history, hosts, mirrors
from fleet.web.pages.shell import _templates
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost, nginx
from tests.history.facts import write_facts
from tests.web.test_pages import browser, enter, token_of, updated
from tests.web.test_routes import API, _move_tag, carry_out

__all__ = ["browser", "updated"]


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
    assert f"{OLD[7:19]}\u00a0→ {NEW[7:19]}</span> to 1 container (<a href=" in page
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
    http: TestClient, browser: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    """Over the fleet and on its host; what is not known is not said to be current."""
    enter(browser, token_of(http))
    assert "0 outdated, 1 unknown, 0 current." in browser.get("/outdated").text
    assert '<b>0</b> <a href="/outdated">outdated</a>, 1 unknown<' in browser.get("/").text
    _move_tag(centre)
    page = browser.get("/outdated").text
    assert "1 outdated, 0 unknown, 0 current; the check that is longest ago was 0s ago." in page
    assert f"{OLD[7:19]}\u00a0→\u00a0{NEW[7:19]}" in page
    assert '<span class="chip care">outdated</span>' in browser.get("/hosts/web-1").text
    assert '<b>1</b> <a href="/outdated">outdated</a><' in browser.get("/").text
    web1.snapshot(nginx(digest=NEW))
    centre.turn()
    assert "Nothing is outdated." in browser.get("/outdated").text
    assert '<span class="chip good">current</span>' in browser.get("/hosts/web-1").text
    web1.snapshot(nginx(reference=f"nginx@{OLD}"))
    centre.turn()
    assert "0 outdated, 0 unknown, 0 current, 1 pinned to a digest." in browser.get("/outdated").text
    assert '<span class="chip plain">pinned</span>' in browser.get("/hosts/web-1").text


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


def test_who_runs_a_digest_since_when_and_by_which_mirror_is_a_page(
    http: TestClient, browser: TestClient, centre: Centre, web1: ScriptedHost, updated: str
) -> None:
    """It is one step from the update that brought it, and back."""
    web1.snapshot(replace(nginx(digest=NEW), id="d" * 64))
    centre.turn()
    enter(browser, token_of(http))
    link = str(re.search(r'href="(/who-runs[^"]+)"', browser.get(f"/history/{updated}").text)[1])  # type: ignore[index]
    page = browser.get(html.unescape(link)).text
    assert f'<a href="/history/{updated}">20' in page
    assert '<a href="/hosts/web-1">web-1</a>' in page
    assert f"fleet history who-runs {NEW}" in page
    assert "web-1" in browser.get("/who-runs?wanted=nginx").text
    assert "No host runs it." in browser.get(f"/who-runs?wanted={OLD}").text
    wrong = browser.get("/who-runs?wanted=sha256:xyz")
    assert (wrong.status_code, 'role="alert">cannot' in wrong.text) == (422, True)


def test_what_is_frozen_or_held_is_seen_with_what_lifts_it(http: TestClient, web1: ScriptedHost) -> None:
    """Whoever wonders why nothing happens finds it where they look first, and beside what is due."""
    assert "Not now" not in http.get("/").text
    assert "Nothing is frozen, held, snoozed or skipped." in http.get("/schedules").text
    freeze = http.post(f"{API}/stops", json={"kind": "freeze", "reason": "Black <Friday>"}).json()["stop"]
    held = {"kind": "hold", "selector": {"containers": ["db"]}}
    hold = http.post(f"{API}/stops", json=held).json()["stop"]
    for path in ("/", "/schedules"):
        page = http.get(path).text
        assert f"<code>fleet unfreeze {freeze['id'][-8:]}</code>" in page
        assert f"<code>fleet unhold {hold['id'][-8:]}</code>" in page
        assert "<span>containers db</span>" in page
        assert "<span>all hosts</span>" in page
        assert "Black &lt;Friday&gt;" in page


def test_what_is_wrong_on_a_host_leads_to_it(http: TestClient, web1: ScriptedHost, centre: Centre) -> None:
    web1.say(
        Heartbeat(
            facts=HostFacts(agent_version="0.1.0", problems=("disk-space: it is full",)), host_time=datetime.now(UTC)
        )
    )
    centre.turn()
    assert '<a href="/hosts/web-1">web-1</a>' in http.get("/").text.partition("Needs you")[2].partition("<h2>")[0]


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
    page = browser.get("/outdated").text
    assert "4 outdated, 0 unknown, 0 current" in page
    assert re.findall(r'href="/hosts/([a-z0-9-]+)"', page) == ["db-1", "web-1", "web-2"]
    more = html.unescape(str(re.search(r'<a href="(/outdated[^"]*)" rel="next"', page)[1]))  # type: ignore[index]
    last = browser.get(more).text
    assert (re.findall(r'href="/hosts/([a-z0-9-]+)"', last), 'rel="next"' in last) == (["web-3"], False)
    assert browser.get("/outdated?after=nowhere").status_code == 422
    assert "3 hosts" in browser.get("/hosts?q=web-*").text
    assert "No host fits." in browser.get("/hosts?q=site=paris").text
    assert "No host fits." in browser.get("/hosts?q=si%22te=paris").text
    assert "2 hosts" in browser.get("/hosts?q=web-[12]").text
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


def test_what_waits_for_approval_is_seen_at_once_with_what_it_brings(
    http: TestClient, browser: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    _move_tag(centre)
    plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]["id"]
    http.post(f"{API}/plans/{plan}/apply", json={"spec_text": "waves:\n  - {size: rest, approval: true}\n"})
    centre.turn()
    enter(browser, token_of(http))
    page = browser.get("/").text
    assert " under way, 1 waits for a person" in page
    assert f"approval of wave 1 of 1 (1 host); it brings nginx:1 {NEW[7:19]}" in page
    assert '<a href="/rollouts/1">rollout #1</a>' in page
    assert "approve it: fleet approve 1" in page
    http.post(f"{API}/rollouts/1/approve", json={})
    assert "approved by person:" in browser.get("/rollouts/1").text
    page = browser.get("/").text
    assert " under way</li>" in page
    assert "approval of wave" not in page
