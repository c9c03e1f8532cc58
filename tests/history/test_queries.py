"""The history answers in the words that people use, page by page."""

from datetime import timedelta

import pytest

from fleet.errors import BadInput, NotFound
from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.sql.pages import PageRequest
from fleet.ids import new_id, short
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import World, container, digest_of


@pytest.fixture
def filled(world: World, clock: HeldClock) -> World:
    """Three hosts with two containers, updated in two rollouts an hour apart; one host fails."""
    for name in ("web-1", "web-2", "edge_1"):
        agent = world.add_host(name, container("app"), container("side_car"))
        agent.result = Result.ROLLED_BACK if name == "edge_1" else Result.UPDATED
    world.rollout(version="one")
    world.run(12)
    clock.move(hours=1)
    for agent in world.agents.values():
        world.take(agent, world.heartbeat())
    world.rollout("web-1", version="two")
    world.run(12)
    return world


def _found(world: World, **parts: object) -> list[str]:
    page = queries.outcomes(world.db, OutcomeFilter(**parts))  # type: ignore[arg-type]
    return sorted({f"{row.host}/{row.container}" for row in page.items})


def test_outcomes_are_found_by_every_word(filled: World, clock: HeldClock) -> None:
    everything = _found(filled)
    assert len(everything) == 6
    edge = ["edge_1/app", "edge_1/side_car"]
    web = [name for name in everything if name not in edge]
    assert _found(filled, host="web-*") == web
    assert _found(filled, host="edge_1") == edge
    assert _found(filled, host="edge?1") == edge
    assert _found(filled, host=str(next(iter(filled.agents.values())).id)) == web[:2]
    assert _found(filled, host="nobody") == []
    assert _found(filled, image="nginx") == everything == _found(filled, image="nginx:1.27")
    assert _found(filled, image="nginx:1.28") == [] == _found(filled, image="redis")
    assert _found(filled, container="side_car") == [name for name in everything if name.endswith("side_car")]
    assert _found(filled, container="side?c*") == [name for name in everything if name.endswith("side_car")]
    assert _found(filled, container="%") == []
    assert _found(filled, mirror="good.lan") == everything
    assert _found(filled, mirror="go_d") == []
    assert _found(filled, outcome=Result.ROLLED_BACK) == edge
    assert _found(filled, by="anna") == everything == _found(filled, by="person:anna")
    assert _found(filled, by="na") == []
    # Capitals count, on both databases.
    assert _found(filled, by="Anna") == [] == _found(filled, container="Side*") == _found(filled, mirror="GOOD")
    assert _found(filled, since=clock.now()) == ["web-1/app", "web-1/side_car"]
    assert _found(filled, until=clock.now() - timedelta(hours=2)) == []
    assert _found(filled, rollout=2) == ["web-1/app", "web-1/side_car"]
    assert _found(filled, rollout=queries.rollout(filled.db, 1).rollout.id) == everything
    assert _found(filled, host="web-*", outcome=Result.ROLLED_BACK) == []


def test_a_digest_is_found_as_old_and_new_and_by_its_beginning(filled: World) -> None:
    new = digest_of("nginx:1.27 two")
    assert _found(filled, digest=new) == ["web-1/app", "web-1/side_car"]
    assert _found(filled, digest=new[:20]) == _found(filled, digest=new.removeprefix("sha256:")[:12])
    assert len(_found(filled, digest=digest_of("nginx:1.27 old"))) == 6
    for text in ("sha256:abc", "xyz", "g" * 64, "'" * 20):
        with pytest.raises(BadInput, match="at least 12 hex digits"):
            _found(filled, digest=text)


def test_outcomes_come_newest_first_and_in_pages(filled: World) -> None:
    seen, cursor = [], ""
    while True:
        page = queries.outcomes(filled.db, OutcomeFilter(), PageRequest(limit=3, cursor=cursor))
        seen += [row.id for row in page.items]
        cursor = page.next
        if not cursor:
            break
    assert len(seen) == 8
    assert seen == sorted(seen, reverse=True)


def test_one_outcome_is_found_by_id_and_short_id(filled: World) -> None:
    row = queries.outcomes(filled.db, OutcomeFilter()).items[0]
    for wanted in (row.id, str(row.id), short(row.id)):
        assert queries.outcome(filled.db, wanted).outcome == row
    for unknown in (new_id(), "no such", "00000000"):
        with pytest.raises(NotFound, match="cannot find the outcome"):
            queries.outcome(filled.db, unknown)


@pytest.mark.parametrize("part", ["container", "mirror", "by", "digest"])
def test_a_text_that_no_database_takes_is_refused(world: World, part: str) -> None:
    with pytest.raises(BadInput, match="cannot"):
        _found(world, **{part: "a\0b"})


def test_a_filter_that_is_no_reference_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="image reference"):
        _found(world, image="NOT AN IMAGE")
