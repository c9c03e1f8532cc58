"""Lists of the whole fleet come a page at a time to whoever asks for pages, and whole to everybody else."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from fleet.api.containers import Containers, Outdated
from fleet.api.form import Answer
from fleet.api.hosts import Hosts
from fleet.history.inventory import container_pages
from fleet.history.registries import tags
from fleet.history.tables.inventory import hosts
from tests.controller.centre import NEW, Centre, nginx
from tests.web.test_pages import browser, enter, token_of
from tests.web.test_routes import API, IMAGE

__all__ = ["browser"]

LISTS = (("hosts", "hosts"), ("containers", "containers"), ("outdated", "containers"))
HOSTS = 7


@pytest.fixture
def fleet(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Seven hosts with a container each, of which three run what their tag has now."""
    for number in range(HOSTS):
        host = centre.add_host(f"web-{number}")
        host.snapshot(nginx(digest=NEW) if number % 2 else nginx())
    centre.turn()
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    monkeypatch.setattr("fleet.web.listing.AT_ONCE", 2)
    return centre


def _pages(http: TestClient, path: str, limit: int) -> list[dict[str, Any]]:
    pages = [http.get(f"{API}/{path}", params={"limit": limit}).json()]
    while page := pages[-1]["next_page"]:
        pages.append(http.get(f"{API}/{path}", params={"limit": limit, "page": page}).json())
    return pages


@pytest.mark.parametrize(("path", "name"), LISTS)
def test_pages_hold_what_the_whole_list_holds(http: TestClient, fleet: Centre, path: str, name: str) -> None:
    whole = http.get(f"{API}/{path}").json()
    assert whole["schema"] == "v1"
    assert whole["next_page"] is None
    assert len(whole[name]) == (4 if path == "outdated" else HOSTS)
    for limit in (1, 3, 500):
        pages = _pages(http, path, limit)
        assert all(len(page[name]) <= limit for page in pages)
        assert [row for page in pages for row in page[name]] == whole[name]


def test_what_is_counted_beside_a_list_adds_up(http: TestClient, fleet: Centre) -> None:
    whole = http.get(f"{API}/outdated").json()
    assert (whole["current"], whole["pinned"]) == (3, 0)
    assert whole["checked_at"]
    for limit in (1, 3, 500):
        assert sum(page["current"] for page in _pages(http, "outdated", limit)) == 3


@pytest.mark.parametrize(("path", "name"), LISTS)
def test_a_whole_list_is_of_the_shape_that_the_document_tells(
    http: TestClient, centre: Centre, path: str, name: str
) -> None:
    """It is written by hand; also where nothing is in it."""
    kinds: dict[str, type[Answer]] = {"hosts": Hosts, "containers": Containers, "outdated": Outdated}
    kind = kinds[path]
    empty = http.get(f"{API}/{path}")
    assert empty.headers["content-type"] == "application/json"
    assert kind.model_validate_json(empty.content, strict=False).document() == empty.json()
    assert empty.json()[name] == []
    shown = http.get(f"{API}/openapi.json").json()["paths"][f"{API}/{path}"]["get"]["responses"]["200"]
    assert shown["content"]["application/json"]["schema"]["$ref"].endswith(kind.__name__)


@pytest.mark.parametrize(("path", "name"), LISTS)
def test_a_page_that_cannot_be_is_refused(http: TestClient, fleet: Centre, path: str, name: str) -> None:
    for query in ("limit=0", "limit=501", "page=x", "limit=1&page=%00"):
        assert http.get(f"{API}/{path}?{query}").status_code == 422, query
    assert http.get(f"{API}/{path}", params={"host": "nobody"}).status_code == 404


def test_a_page_may_be_short_and_have_a_next_one(
    http: TestClient, fleet: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_pages, "LOOKED_AT", 1)
    monkeypatch.setattr(container_pages, "HOSTS_LOOKED_AT", 1)
    pages = _pages(http, "outdated", 500)
    assert len(pages) > 1
    assert sum(len(page["containers"]) for page in pages) == 4


@pytest.mark.parametrize(("glob", "count"), [("web-[0-2]", 3), ("web-[!0]", 6), ("web-[", 0), ("[w]eb-?", 7)])
def test_brackets_of_a_glob_are_read_as_everywhere(http: TestClient, fleet: Centre, glob: str, count: int) -> None:
    assert len(http.get(f"{API}/hosts", params={"host": glob}).json()["hosts"]) == count
    assert len(http.get(f"{API}/containers", params={"host": glob}).json()["containers"]) == count


def test_the_overview_lists_so_many_conditions_and_says_how_many_hold(
    http: TestClient, browser: TestClient, fleet: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the centre was away, every host is silent."""
    with fleet.db.writing() as connection:
        connection.execute(update(hosts).values(last_seen_at=fleet.db.moment(connection) - timedelta(hours=1)))
    enter(browser, token_of(http))
    page = browser.get("/").text
    assert page.count("A host is silent") == HOSTS
    assert "more; all of them" not in page
    monkeypatch.setattr("fleet.web.pages.fleet.MOST_NEEDS", 2)
    page = browser.get("/").text
    assert page.count("A host is silent") == 2
    assert f"<b>{HOSTS}</b> things need you" in page
    assert f"And {HOSTS - 2} more; all of them" in page
