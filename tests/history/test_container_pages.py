"""Pages of hosts and of containers hold together what the whole list holds, whatever is asked for and however little a page reads."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.controller.outdated import outdated, outdated_part
from fleet.errors import BadInput
from fleet.history.inventory import container_pages, host_pages, hosts
from fleet.history.inventory.container_pages import Look, Place, container_page
from fleet.history.inventory.containers import ContainerRow, containers
from fleet.history.inventory.host_pages import count_hosts, host_page
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.rollouts.selector import Selector, loose
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container

SELECTORS = (
    Selector(),
    Selector(hosts=("web-1*",)),
    Selector(hosts=("web-[0-3]", "db")),
    Selector(hosts=("web-[!0-3]",)),
    Selector(hosts=("web-4", "db")),
    Selector(labels={"env": "pro[dx]"}),
    Selector(labels={"env": "*", "site": "paris"}),
    Selector(labels={"no label is called so": "*"}),
    Selector(containers=("a", "c")),
    Selector(containers=("[ab]*",)),
    Selector(images=("nginx",)),
    Selector(hosts=("web-*",), images=("redis:*",)),
)


@pytest.fixture
def filled(world: World, clock: HeldClock) -> World:
    """A dozen hosts with up to six containers, some without any, one that is gone."""
    random = Random(4)
    for number in range(12):
        some = [
            container(name, random.choice(["nginx:1.27", "redis:7"]), random.choice(["old", "new"]))
            for name in "abcdef"[: number % 7]
        ]
        labels = {"env": random.choice(["prod", "test"]), **({"site": "paris"} if number % 2 else {})}
        name = "db" if number == 5 else f"web-{number}"
        world.add_host(name, *some)
        hosts.label_host(world.db, name, labels=labels, **BY)
    world.add_host("web-99", container("a"))
    hosts.remove_host(world.db, "web-99", **BY)
    return world


def _all(db: Database, look: Look, limit: int) -> list[ContainerRow]:
    found, place = container_page(db, look, None, limit)
    while place is not None:
        more, place = container_page(db, look, Place.read(str(place)), limit)
        assert len(more) <= limit
        found += more
    return found


@pytest.mark.parametrize("selector", SELECTORS, ids=str)
@pytest.mark.parametrize("looked_at", [1, 7, 5000])
def test_pages_of_containers_are_the_list(
    filled: World, monkeypatch: pytest.MonkeyPatch, selector: Selector, looked_at: int
) -> None:
    monkeypatch.setattr(container_pages, "LOOKED_AT", looked_at)
    monkeypatch.setattr(container_pages, "HOSTS_LOOKED_AT", looked_at)
    for limit in (1, 3, 500):
        assert _all(filled.db, Look(selector=selector), limit) == containers(filled.db, selector)


@pytest.mark.parametrize("selector", SELECTORS, ids=str)
def test_pages_of_hosts_are_the_list(filled: World, selector: Selector) -> None:
    expected = [row for row in hosts.hosts(filled.db) if selector.takes_host(row.name, row.labels)]
    assert count_hosts(filled.db, selector) == len(expected)
    for limit in (1, 4, 500):
        found = host_page(filled.db, selector, after="", limit=limit)
        while more := host_page(filled.db, selector, after=found[-1].name, limit=limit) if found else []:
            found += more
        assert found == expected


@pytest.mark.parametrize("selector", SELECTORS, ids=str)
def test_what_parts_of_the_outdated_count_adds_up(
    filled: World, monkeypatch: pytest.MonkeyPatch, selector: Selector
) -> None:
    monkeypatch.setattr(container_pages, "LOOKED_AT", 5)
    monkeypatch.setattr("fleet.controller.outdated._AT_ONCE", 2)
    for image, version in (("nginx:1.27", "new"), ("redis:7", "newest")):
        digest = container("x", image, version).digests[0]
        tags.record_resolved(filled.db, f"docker.io/library/{image}", digest, "https://registry")
    found, place = outdated_part(filled.db, selector, None, 500)
    while place is not None:
        more, place = outdated_part(filled.db, selector, place, 500)
        found += more
    assert found == outdated(filled.db, selector)
    shown = len(found.standings) + found.current + found.pinned
    assert shown == len(containers(filled.db, selector))


def test_a_page_looks_at_so_many_hosts_and_no_more(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On none of them may be what is looked for."""
    monkeypatch.setattr(container_pages, "HOSTS_LOOKED_AT", 3)
    found, place = container_page(filled.db, Look(selector=Selector(containers=("none",))), None, 10)
    assert found == []
    assert place is not None
    assert place.host < "web-9"


@pytest.mark.parametrize(
    "cursor", ["x", "[1]", '["a"]', '["a", "b", "c", "d"]', "null", "[" * 5000, '["\\u0000", "", ""]']
)
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(BadInput):
        Place.read(cursor)


def test_a_page_of_a_glob_with_brackets_reads_no_more_than_names(
    filled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a host is read only where it is shown."""
    made: list[str] = []
    row: Callable[..., hosts.HostRow] = hosts.HostRow

    def counting(**values: object) -> hosts.HostRow:
        made.append(str(values["name"]))
        return row(**values)

    monkeypatch.setattr(host_pages, "HostRow", counting)
    assert [host.name for host in host_page(filled.db, Selector(hosts=("*[0-9]",)), after="web-1", limit=2)] == made
    assert len(made) == 2


SIGNS = st.text(alphabet="ab[]!-*?^", max_size=8)


@given(glob=SIGNS, name=st.text(alphabet="ab[]!-^", max_size=5))
def test_a_loose_glob_takes_all_that_the_glob_takes(glob: str, name: str) -> None:
    if fnmatchcase(name, glob):
        assert fnmatchcase(name, loose(glob).replace("[", "[[]"))


@given(glob=st.text(alphabet="ab*?", max_size=8))
def test_a_glob_without_brackets_is_its_own_loose_one(glob: str) -> None:
    assert loose(glob) == glob
