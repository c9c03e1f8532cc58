"""The route is policy's order, and how sources stand only leaves some out."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.route import Omission, Route, Standing, route
from fleet.mirrors.source import Role
from fleet.mirrors.table import MirrorTable

HUB, GHCR = Reference.parse("nginx:1"), Reference.parse("ghcr.io/org/app:1")


def table(*rows: tuple[str, str], **more: object) -> MirrorTable:
    """Return a table of (registry, URL)."""
    return MirrorTable.of(parse_mirrors([{"for": a, "url": b} for a, b in rows]), **more)  # type: ignore[arg-type]


def names(found: Route) -> list[str]:
    """Return the sources' names."""
    return [source.name for source in found.sources]


ROWS = table(("*", "http://g1"), ("docker.io", "http://h1"), ("ghcr.io", "http://c1"), ("docker.io", "http://h2"))


def test_a_registrys_own_mirrors_then_the_global_ones_then_the_origin() -> None:
    assert names(route(HUB, ROWS)) == ["http://h1", "http://h2", "http://g1", "https://registry-1.docker.io"]
    assert names(route(GHCR, ROWS)) == ["http://c1", "http://g1", "https://ghcr.io"]


def test_global_mirrors_may_be_kept_to_docker_hub() -> None:
    kept = MirrorTable.of(ROWS.rules, global_mirrors_for="docker.io")
    assert names(route(GHCR, kept)) == ["http://c1", "https://ghcr.io"]
    assert "http://g1" in names(route(HUB, kept))


def test_a_mirror_named_twice_is_asked_once_where_it_came_first() -> None:
    twice = table(("*", "http://a"), ("docker.io", "http://b"), ("docker.io", "http://a"), ("*", "http://b"))
    assert names(route(HUB, twice))[:-1] == ["http://b", "http://a"]


def test_the_policys_rules_go_before_the_hosts_own() -> None:
    merged = MirrorTable.of(
        parse_mirrors([{"url": "http://p"}]), parse_mirrors([{"url": "http://h"}, {"url": "http://p"}])
    )
    assert names(route(HUB, merged))[:-1] == ["http://p", "http://h"]


def test_the_origin_itself_is_no_mirror() -> None:
    found = route(HUB, table(("*", "https://registry-1.docker.io"), ("*", "https://ghcr.io/v2/cache")))
    assert names(found) == ["https://ghcr.io/cache", "https://registry-1.docker.io"]
    assert [skipped.omission for skipped in found.skipped] == [Omission.ORIGIN_ITSELF]
    assert names(route(GHCR, table(("*", "https://ghcr.io/v2/cache")))) == ["https://ghcr.io"]


def test_the_fastest_comes_first_and_the_origin_last() -> None:
    """A global mirror may be faster than a registry's own; what was not measured follows as it is written."""
    quick = MirrorTable.of(
        ROWS.rules, speeds={"http://g1": 9_000, "http://h2": 10, "https://registry-1.docker.io": 10**9}
    )
    assert names(route(HUB, quick)) == ["http://g1", "http://h2", "http://h1", "https://registry-1.docker.io"]
    assert names(route(GHCR, quick)) == ["http://g1", "http://c1", "https://ghcr.io"]


@given(st.dictionaries(st.sampled_from(["http://g1", "http://h1", "http://h2"]), st.sampled_from([1, 2])))
def test_equals_stay_as_they_are_written(speeds: dict[str, int]) -> None:
    """The same speeds make the same order, and no speeds none."""
    found = names(route(HUB, MirrorTable.of(ROWS.rules, speeds=speeds)))[:-1]
    written = ["http://h1", "http://h2", "http://g1"]
    assert found == sorted(written, key=lambda name: (-speeds.get(name, 0), written.index(name)))


def test_an_open_breaker_skips_the_fastest_too() -> None:
    quick = MirrorTable.of(ROWS.rules, speeds={"http://g1": 9, "http://h2": 8})
    assert names(route(HUB, quick, Standing(open={"http://g1": "down"})))[0] == "http://h2"


def test_our_own_gateway_is_no_mirror() -> None:
    found = route(HUB, table(("*", "http://127.0.0.1:5999")), Standing(own=frozenset({"127.0.0.1:5999"})))
    assert names(found) == ["https://registry-1.docker.io"]
    assert [skipped.omission for skipped in found.skipped] == [Omission.LOOP]


def test_an_open_breaker_skips_and_never_reorders() -> None:
    found = route(HUB, ROWS, Standing(open={"http://h1": "it was refused"}))
    assert names(found) == ["http://h2", "http://g1", "https://registry-1.docker.io"]
    assert [(s.source.name, s.omission, s.reason) for s in found.skipped] == [
        ("http://h1", Omission.BREAKER, "it was refused")
    ]


def test_where_all_breakers_are_open_they_are_ignored() -> None:
    every = names(route(HUB, ROWS))
    found = route(HUB, ROWS, Standing(open=dict.fromkeys(every, "down")))
    assert (names(found), found.ignored_breakers) == (every, True)


def test_what_a_source_does_not_have_is_not_asked_of_it_even_then() -> None:
    every = names(route(HUB, ROWS))
    standing = Standing(open=dict.fromkeys(every[1:], "down"), absent={every[0]: "404"})
    assert names(route(HUB, ROWS, standing)) == every[1:]


def test_a_registry_listed_as_insecure_is_asked_so() -> None:
    app = Reference.parse("reg.lan:5000/app")
    assert route(app, MirrorTable.of(insecure=["reg.lan:5000"])).sources[-1].endpoint.insecure
    assert not route(app, MirrorTable()).sources[-1].endpoint.insecure


HOSTS = st.sampled_from(["http://a", "http://b", "https://c/base", "https://ghcr.io", "http://127.0.0.1:5999"])
TABLES = st.lists(st.tuples(st.sampled_from(["*", "docker.io", "ghcr.io", "quay.io"]), HOSTS), max_size=8)
REFERENCES = st.sampled_from([HUB, GHCR, Reference.parse("quay.io/x"), Reference.parse("localhost:5000/y")])


@given(rows=TABLES, reference=REFERENCES, down=st.sets(HOSTS), away=st.sets(HOSTS), hub=st.booleans())
def test_whatever_stands_how_the_route_keeps_its_promises(
    rows: list[tuple[str, str]], reference: Reference, down: set[str], away: set[str], hub: bool
) -> None:
    """Order is the table's, nothing twice, the origin last, breakers only leave out, and the same in gives the same out."""
    made = table(*rows, global_mirrors_for="docker.io" if hub else "*")
    all_well = names(route(reference, made))
    standing = Standing(open=dict.fromkeys(down, "x"), absent=dict.fromkeys(away, "y"))
    found = route(reference, made, standing)
    assert found == route(reference, made, standing)
    assert len(set(names(found))) == len(names(found))
    assert names(found) == [name for name in all_well if name in set(names(found))]
    assert not away & set(names(found))
    assert {s.name for s in found.sources} | {s.source.name for s in found.skipped} >= set(all_well)
    missing = away if found.ignored_breakers else down | away
    assert (Role.ORIGIN in {source.role for source in found.sources}) is (all_well[-1] not in missing)
    assert all(source.role is Role.MIRROR for source in found.sources[:-1])
    assert bool(found.sources) or set(all_well) <= away
    if not found.ignored_breakers:
        assert not down & set(names(found))
