"""Lists of the whole fleet are printed to their end, page by page, in every form."""

import csv
import io
import json

import pytest
import yaml

from fleet.cli.session import CSV, JSON, JSONL, WIDE, YAML
from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, Centre, nginx
from tests.web.test_routes import IMAGE

HOSTS = 7
pytestmark = pytest.mark.usefixtures("served")
LISTS = (("host", "ls"), ("ps",), ("outdated",))


@pytest.fixture
def large(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Seven hosts, of which a page holds two; the odd ones are up to date."""
    for number in range(HOSTS):
        centre.add_host(f"web-{number}").snapshot(nginx(digest=NEW) if number % 2 else nginx())
    centre.turn()
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    monkeypatch.setattr("fleet.client.calls.LARGEST_PAGE", 2)
    return centre


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_every_form_holds_all_of_them(fleet: Fleet, large: Centre, words: tuple[str, ...]) -> None:
    count = 4 if words == ("outdated",) else HOSTS
    names = [f"web-{number}" for number in range(HOSTS) if count == HOSTS or number % 2 == 0]
    printed = {form: fleet(*words, "-o", form).out for form in (JSON, YAML, JSONL, CSV, WIDE)}
    document = json.loads(printed[JSON])
    field = "hosts" if "host" in words else "containers"
    label = "name" if "host" in words else "host"
    assert [row[label] for row in document[field]] == names
    assert yaml.safe_load(printed[YAML]) == document
    assert [json.loads(line) for line in printed[JSONL].splitlines()] == document[field]
    assert [row[label] for row in csv.DictReader(io.StringIO(printed[CSV]))] == names
    assert len(printed[WIDE].splitlines()) == count + 1
    assert [line.split()[0] for line in fleet(*words, "-q").out.splitlines()] == names


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_document_written_as_it_comes_is_laid_out_as_any_other(
    fleet: Fleet, large: Centre, words: tuple[str, ...]
) -> None:
    for more in (
        (),
        ("--host" if words != ("host", "ls") else "--label", "none-*" if words != ("host", "ls") else "a=b"),
    ):
        printed = fleet(*words, *more, "-o", JSON).out
        assert printed == json.dumps(json.loads(printed), indent=2) + "\n"


def test_what_pages_count_is_said_once_and_added_up(fleet: Fleet, large: Centre) -> None:
    assert "3 containers are current" in fleet("outdated").err
    assert json.loads(fleet("outdated", "-o", JSON).out)["current"] == 3
    for number in range(0, HOSTS, 2):
        large.hosts[number].snapshot(nginx(digest=NEW))
    large.turn()
    assert "nothing is outdated; 7 containers are current" in fleet("outdated").err
