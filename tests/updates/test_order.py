"""What needs what, and the order that follows, whatever people and the engine say."""

from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, UpdateCommand
from fleet.updates.order import Graph, Tie, graph
from fleet.updates.plan import Action, plan
from fleet.updates.snapshot import ContainerState

NAMES = [f"c{number}" for number in range(7)]


def state(name: str, *needs: str, service: str = "", **labels: str) -> ContainerState:
    """Return a running container; labels with ``__`` for a dot, *service* in the Compose project ``shop``."""
    told = {key.replace("__", "."): value for key, value in labels.items()}
    if service:
        told |= {"com.docker.compose.project": "shop", "com.docker.compose.service": service}
    return ContainerState(
        id=name * 8, name=name, reference="app:1", image_id="sha256:old", state="running", labels=told, needs=needs
    )


def depends(name: str, text: str, key: str = "fleet.depends-on", service: str = "") -> ContainerState:
    """Return a container whose label *key* is *text*."""
    made = state(name, service=service)
    return replace(made, labels=made.labels | {key: text})


WATCHTOWER = "com.centurylinklabs.watchtower.depends-on"
COMPOSE = "com.docker.compose.depends_on"


def edges(*states: ContainerState) -> dict[tuple[str, str], tuple[frozenset[Tie], bool]]:
    """Return each need as (ties, restart)."""
    return {(n.dependent, n.dependency): (n.ties, n.restart) for n in graph(states).needs}


@pytest.mark.parametrize(
    ("web", "tie", "restart"),
    [
        (depends("web", "db"), Tie.LABEL, False),
        (depends("web", " /db:restart , "), Tie.LABEL, True),
        (depends("web", "db", WATCHTOWER), Tie.LABEL, True),
        (depends("web", "data:service_healthy:true", COMPOSE, service="web"), Tie.COMPOSE, True),
        (depends("web", "data:service_started:false", COMPOSE, service="web"), Tie.COMPOSE, False),
        (depends("web", "data", COMPOSE, service="web"), Tie.COMPOSE, False),
        (depends("web", "data", service="web"), Tie.LABEL, False),
        (depends("web", "shop-data", service=""), Tie.LABEL, False),
        (state("web", "network:db"), Tie.NETWORK, False),
        (state("web", "link:db"), Tie.LINK, False),
        (state("web", "volumes:db"), Tie.VOLUMES, False),
    ],
)
def test_each_source_makes_a_need(web: ContainerState, tie: Tie, restart: bool) -> None:
    assert edges(web, state("db", service="data")) == {("web", "db"): (frozenset({tie}), restart)}


def test_all_sources_are_merged_into_one_need() -> None:
    web = replace(depends("web", "db:restart"), needs=("network:db", "volumes:db"))
    assert edges(web, state("db")) == {("web", "db"): (frozenset({Tie.LABEL, Tie.NETWORK, Tie.VOLUMES}), True)}


def test_a_service_means_every_container_of_it() -> None:
    replicas = [state("db-1", service="db"), state("db-2", service="db")]
    assert set(edges(depends("web", "db"), *replicas)) == {("web", "db-1"), ("web", "db-2")}


def test_a_name_that_could_mean_two_services_means_none_and_is_told() -> None:
    other = state("db-2")
    labels = {"com.docker.compose.project": "blog", "com.docker.compose.service": "db"}
    found = graph([depends("web", "db"), state("db-1", service="db"), replace(other, labels=labels)])
    assert found.needs == ()
    assert found.unclear == ("web depends on db, which names no container or no single service",)


def test_compose_looks_in_its_own_project_alone() -> None:
    assert edges(depends("web", "db:service_started:true", COMPOSE), state("db", service="db")) == {}


def test_what_a_newer_agent_tells_is_passed_over() -> None:
    assert edges(state("web", "cgroup:db"), state("db")) == {}


def test_only_who_asks_for_it_is_restarted_and_nothing_beyond() -> None:
    """Pain 23: a cascade stops after the first step."""
    found = graph([state("db"), depends("api", "db:restart"), depends("web", "api:restart"), depends("job", "db")])
    assert found.to_restart(["db"], []) == ("api",)
    assert found.to_restart(["db"], ["api"]) == ()
    assert found.to_restart(["db", "api"], ["api"]) == ("web",)


def run(targets: list[str], *states: ContainerState) -> list[tuple[str, Action, str]]:
    """Return the steps of an order that names *targets*."""
    by_name = {each.name: each for each in states}
    made = tuple(
        Target(
            update_id=UUID(int=number),
            container_id=by_name[name].id,
            container=name,
            image_id="sha256:old",
            reference=Reference.parse("app:1"),
            digest=Digest.of(b"new"),
        )
        for number, name in enumerate(targets)
    )
    command = UpdateCommand(id=UUID(int=9), targets=made, policy=Policy(), pull_ids={})
    return [(one.target.container, one.action, one.reason) for one in plan(command, states).steps]


def test_what_is_needed_is_recreated_first_through_what_is_not_updated_too() -> None:
    hosts = [depends("web", "api"), depends("api", "db"), state("db"), state("alone")]
    assert [name for name, *_ in run(["web", "db", "alone"], *hosts)] == ["db", "alone", "web"]


def test_those_on_a_cycle_are_skipped_by_name_and_nobody_else() -> None:
    hosts = [depends("a", "b"), depends("b", "c"), depends("c", "a"), depends("d", "a"), state("e")]
    told = {name: (action, reason) for name, action, reason in run(["a", "b", "c", "d", "e"], *hosts)}
    assert {name for name, (action, _) in told.items() if action is Action.SKIP} == {"a", "b", "c"}
    assert told["a"][1] == "cannot update a: its needs go in a circle: a -> b -> c -> a"


def test_a_container_that_needs_itself_is_a_cycle() -> None:
    ((_, action, reason),) = run(["a"], depends("a", "a"))
    assert (action, reason) == (Action.SKIP, "cannot update a: its needs go in a circle: a -> a")


edge_lists = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=14)


def hosts_of(pairs: list[tuple[str, str]]) -> list[ContainerState]:
    """Return containers of which the first of each pair needs the second."""
    return [state(name, *[f"volumes:{b}" for a, b in pairs if a == name]) for name in NAMES]


def reaches(pairs: list[tuple[str, str]], a: str, b: str) -> bool:
    """Tell by brute force whether *a* needs *b*, at whatever hand."""
    hit = {y for x, y in pairs if x == a}
    for _ in NAMES:
        hit |= {y for x, y in pairs if x in hit}
    return b in hit


@given(pairs=edge_lists, chosen=st.permutations(NAMES), count=st.integers(0, len(NAMES)))
def test_every_order_holds_and_exactly_the_cycles_are_left_out(
    pairs: list[tuple[str, str]], chosen: list[str], count: int
) -> None:
    targets = chosen[:count]
    steps = run(targets, *hosts_of(pairs))
    assert sorted(name for name, *_ in steps) == sorted(targets)
    circling = {name for name in targets if reaches(pairs, name, name)}
    assert {name for name, action, _ in steps if action is Action.SKIP} == circling
    left = [name for name, action, _ in steps if action is Action.UPDATE]
    for later, name in enumerate(left):
        assert not any(reaches(pairs, earlier, name) for earlier in left[:later])


@given(pairs=edge_lists)
def test_a_cycle_that_is_told_is_a_way_that_is_there(pairs: list[tuple[str, str]]) -> None:
    found: Graph = graph(hosts_of(pairs))
    for name in NAMES:
        way = found.cycle_of(name)
        assert bool(way) == reaches(pairs, name, name)
        assert not way or way[0] == way[-1] == name
        assert all(pair in pairs for pair in pairwise(way))


@given(pairs=edge_lists, updated=st.sets(st.sampled_from(NAMES)))
def test_without_a_word_of_it_nothing_is_restarted(pairs: list[tuple[str, str]], updated: set[str]) -> None:
    assert graph(hosts_of(pairs)).to_restart(updated, ()) == ()
