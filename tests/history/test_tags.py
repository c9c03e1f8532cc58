"""Each image is checked once for all hosts, and one host is asked where the centre may not."""

from dataclasses import replace

import pytest

from fleet.errors import NotFound
from fleet.history.registries import tags
from fleet.history.rules import policies
from fleet.history.tables.inventory import images, resolves
from fleet.history.tables.words import PolicyKind
from fleet.road.messages import Resolve, Resolved
from tests.history.conftest import HeldClock
from tests.history.world import Agent, World, container, digest_of, rows

IMAGE = "docker.io/library/nginx:1.27"


def test_followed_images_are_those_that_running_containers_follow(world: World) -> None:

    stopped = replace(container("c", "redis:7"), state="exited")
    built = replace(container("d", "mine:1"), local_build=True)
    world.add_host("web-1", container("a"), container("b"), stopped, built)
    world.add_host("web-2", container("a"), container("x", f"x@sha256:{'a' * 64}"))
    assert tags.followed(world.db) == [IMAGE]


def test_one_host_has_no_more_asked_for_than_a_host_may_follow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MOST_FOLLOWED", 3)
    world.add_host("web-1", *(container(f"c{n}", f"evil{n}.lan/x:1") for n in range(9)))
    world.add_host("web-2", container("a"), container("b", "zoo:1"))
    images = ["evil0.lan/x:1", "evil1.lan/x:1", "evil2.lan/x:1"]
    assert tags.followed(world.db) == [IMAGE, "docker.io/library/zoo:1", *images]


def test_a_lease_keeps_others_away_for_its_time(world: World, clock: HeldClock) -> None:
    now = clock.now()
    assert tags.lease(world.db, ["a", "b"], now, 60) == ["a", "b"]
    assert tags.lease(world.db, ["b", "c"], now, 60) == ["c"]
    tags.record_failed(world.db, "a", "cannot reach it")
    assert tags.lease(world.db, ["a", "b"], now, 60) == ["a"]
    clock.move(seconds=60)
    assert tags.lease(world.db, ["a", "b"], clock.now(), 60) == ["a", "b"]
    assert tags.lease(world.db, [], now, 60) == []


def test_a_failed_check_keeps_the_digest_and_says_why(world: World, clock: HeldClock) -> None:
    tags.record_resolved(world.db, IMAGE, digest_of("1"), "https://a")
    resolved_at = clock.now()
    clock.move(hours=1)
    tags.record_failed(world.db, IMAGE, "cannot reach it")
    tag = tags.tag(world.db, IMAGE)
    assert tag is not None
    assert (tag.digest, tag.endpoint, tag.reason) == (digest_of("1"), "https://a", "cannot reach it")
    assert (tag.resolved_at, tag.checked_at) == (resolved_at, clock.now())
    tags.record_resolved(world.db, IMAGE, digest_of("2"), "https://b")
    assert tags.tags(world.db)[IMAGE].reason == ""
    assert tags.tag(world.db, "other") is None


def test_every_digest_of_a_tag_is_remembered_since_when(world: World, clock: HeldClock) -> None:
    first = clock.now()
    tags.record_resolved(world.db, IMAGE, digest_of("1"), "https://a")
    clock.move(hours=1)
    tags.record_resolved(world.db, IMAGE, digest_of("1"), "https://b")
    tags.record_resolved(world.db, IMAGE, digest_of("2"), "https://b")
    seen = {
        row["digest"]: (row["first_seen_at"], row["last_seen_at"], row["endpoint"]) for row in rows(world.db, images)
    }
    assert seen[digest_of("1")] == (first, clock.now(), "https://a")
    assert len(seen) == 2


def asked(world: World, *agents: Agent) -> list[tuple[Agent, Resolve]]:
    """Let hosts be asked for the image; return which of *agents* were, with the request."""
    tags.ask_host(world.db, IMAGE)
    world.deliver(world.tick())
    return [(agent, agent.asked.pop()) for agent in agents if agent.asked]


def say(world: World, to: tuple[Agent, Resolve], digest: str, reason: str = "") -> None:
    """Let a host answer."""
    agent, request = to
    world.take(
        agent, Resolved(request=request.request, reference=IMAGE, digest=digest, endpoint="https://x", reason=reason)
    )


def test_two_live_hosts_resolve_for_all_with_their_own_credentials(world: World, clock: HeldClock) -> None:
    agents = [world.add_host(name, container("a")) for name in ("web-1", "web-2", "web-3", "web-4")]
    request = tags.ask_host(world.db, IMAGE)
    first = asked(world, *agents)
    assert request in {each.request for _, each in first}, "a request that waits is not made twice"
    assert [each.reference for _, each in first] == [IMAGE, IMAGE]
    stranger = next(agent for agent in agents if agent not in [agent for agent, _ in first])
    say(world, (stranger, first[0][1]), digest_of("9"))
    say(world, first[0], digest_of("9"))
    assert tags.tag(world.db, IMAGE) is None, "the other one has not answered"
    say(world, first[1], digest_of("9"))
    assert tags.tags(world.db)[IMAGE].digest == digest_of("9")
    say(world, first[1], digest_of("1"))
    assert tags.tags(world.db)[IMAGE].digest == digest_of("9"), "an answer is one"
    clock.move(seconds=1)
    second = asked(world, *agents)
    assert {agent.id for agent, _ in second}.isdisjoint({agent.id for agent, _ in first}), "the others' turn"
    assert len(rows(world.db, resolves)) == 4


def test_one_host_names_no_digest_for_the_others(world: World, clock: HeldClock) -> None:
    """It could name any of the repository: an old one with a known hole, or one that there is not."""
    agents = [world.add_host(name, container("a")) for name in ("web-1", "web-2")]
    tags.record_resolved(world.db, IMAGE, digest_of("1"), "https://a")
    evil, good = asked(world, *agents)
    say(world, evil, digest_of("e"))
    say(world, good, digest_of("2"))
    tag = tags.tags(world.db)[IMAGE]
    assert tag.digest == digest_of("1")
    assert tag.reason.startswith(f"cannot tell what {IMAGE} is: ")
    assert f"web-1 {digest_of('e')[:19]} and web-2 {digest_of('2')[:19]}" in tag.reason
    clock.move(minutes=6)
    for each in asked(world, *agents):
        say(world, each, digest_of("2"))
    assert (tags.tags(world.db)[IMAGE].digest, tags.tags(world.db)[IMAGE].reason) == (digest_of("2"), "")


def test_where_one_of_two_hosts_cannot_tell_the_other_ones_word_holds(world: World) -> None:
    agents = [world.add_host(name, container("a")) for name in ("web-1", "web-2")]
    first, second = asked(world, *agents)
    say(world, first, "", "cannot log in")
    say(world, second, digest_of("2"))
    assert tags.tags(world.db)[IMAGE].digest == digest_of("2")


def test_a_host_that_cannot_resolve_says_why(world: World) -> None:
    agent = world.add_host("web-1", container("a"))
    request = tags.ask_host(world.db, IMAGE)
    world.take(agent, Resolved(request=request, reference=IMAGE, reason="cannot log in"))
    assert tags.tags(world.db)[IMAGE].reason == "cannot log in"
    request = tags.ask_host(world.db, IMAGE)
    world.take(agent, Resolved(request=request, reference=IMAGE, digest="sha256:nonsense"))
    assert tags.tags(world.db)[IMAGE].digest == ""


def test_nobody_is_asked_where_no_live_host_runs_the_image(world: World, clock: HeldClock) -> None:
    world.add_host("web-1", container("a"))
    with pytest.raises(NotFound, match="cannot ask a host"):
        tags.ask_host(world.db, "docker.io/library/redis:7")
    clock.move(minutes=20)
    with pytest.raises(NotFound):
        tags.ask_host(world.db, IMAGE)


def test_a_tag_that_goes_back_keeps_what_is_known_and_says_why(world: World, clock: HeldClock) -> None:
    for version in ("1", "2", "1"):
        tags.record_resolved(world.db, IMAGE, digest_of(version), "https://stale")
        clock.move(hours=1)
    refused = tags.tags(world.db)[IMAGE]
    assert (refused.digest, refused.refused_digest) == (digest_of("2"), digest_of("1"))
    assert refused.reason.startswith(f"cannot follow {IMAGE} back to")
    tags.record_failed(world.db, IMAGE, "cannot reach it")
    assert tags.tags(world.db)[IMAGE].refused_digest == digest_of("1"), "a later failure does not make it forgotten"
    tags.record_resolved(world.db, IMAGE, digest_of("3"), "https://origin")
    moved = tags.tags(world.db)[IMAGE]
    assert (moved.digest, moved.refused_digest, moved.reason) == (digest_of("3"), "", "")


def test_a_tag_may_go_back_where_the_fleets_policy_names_its_image(world: World) -> None:
    document = {"resolve": {"allow_back": ["docker.io/library/*"]}}
    policies.set_policy(world.db, PolicyKind.FLEET, "", document, by="person:anna", door="socket")
    for version in ("1", "2", "1"):
        tags.record_resolved(world.db, IMAGE, digest_of(version), "https://origin")
    assert tags.tags(world.db)[IMAGE].digest == digest_of("1")


def test_the_age_of_a_digest_is_counted_from_the_first_sight_of_it(world: World, clock: HeldClock) -> None:
    first = clock.now()
    tags.record_resolved(world.db, IMAGE, digest_of("1"), "https://a")
    clock.move(hours=1)
    tags.record_resolved(world.db, IMAGE, digest_of("1"), "https://a")
    tag = tags.tag(world.db, IMAGE)
    assert tag is not None
    assert tag.first_seen_at == first
