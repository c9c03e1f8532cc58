"""Counters go up once with each fact, whatever is told twice or given up, and no host can make them many or wrong."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from fleet.history.inventory import hosts
from fleet.history.noted import counting
from fleet.history.noted.counting import Counted
from fleet.history.notify import deliveries, event_taking
from fleet.history.registries import tags
from fleet.history.sql.amounts import MOST_BYTES, MOST_MS
from fleet.history.sql.database import Database
from fleet.history.tables.counters import counters, host_updates
from fleet.history.tables.facts import pulls, updates
from fleet.history.upkeep import retention
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.source import Role
from fleet.notify.sent import TAKEN, Came, Sent, later
from fleet.notify.waits import GIVEN_UP_AFTER
from fleet.road.messages import Order, Ready, Resolved
from fleet.updates.outcome import Phases, PullOutcome, Result, Tier
from tests.history.conftest import HeldClock
from tests.history.test_notify import add, told
from tests.history.world import BY, GOOD_MIRROR, Agent, World, container, digest_of, rows

IMAGE = "docker.io/library/nginx:1.27"
DEAD = "http://dead.lan"


def counted(db: Database, counter: Counted) -> dict[str, int]:
    """Return the counts of one counter by its labels, as they stand in the table."""
    return {row["labels"]: row["count"] for row in rows(db, counters) if row["counter"] == counter}


def ordered(world: World, name: str) -> tuple[Agent, Order]:
    """Return a host that got an order, and has not pulled."""
    agent = world.add_host(name, container("web"))
    world.rollout(name)
    sent = world.until(Order)
    (order,) = [each.message for each in sent if isinstance(each.message, Order)]
    return agent, order


def pulled(world: World, agent: Agent, order: Order, *tried: Attempt, **changed: object) -> PullOutcome:
    """Let the host say that it pulled, with *tried* in the place of its usual attempts."""
    (id,) = order.pull_ids.values()
    pull = replace(agent.pull(order, id), **changed)  # type: ignore[arg-type]
    pull = replace(pull, attempts=tried) if tried else pull
    world.take(agent, Ready(command=order.command, pulls=(pull,)))
    return pull


def test_an_update_is_counted_with_its_pull_and_its_phases(world: World) -> None:
    for name in ("web-1", "web-2", "web-3"):
        world.add_host(name, container("web"))
    next(agent for agent in world.agents.values() if agent.name == "web-3").result = Result.ROLLED_BACK
    world.rollout()
    world.run()
    assert counted(world.db, Counted.UPDATES) == {'["updated"]': 2, '["rolled_back"]': 1}
    assert counted(world.db, Counted.PULLS) == {f'["{GOOD_MIRROR}","docker.io","pulled"]': 3}
    assert counted(world.db, Counted.BYTES) == {f'["{GOOD_MIRROR}","mirror"]': 3000}
    assert counted(world.db, Counted.ATTEMPTS) == {f'["{GOOD_MIRROR}","served"]': 3, f'["{DEAD}","unreachable"]': 3}
    assert counted(world.db, Counted.FALLBACKS) == {f'["{DEAD}","unreachable"]': 3}
    assert counted(world.db, Counted.PHASES) == {'["pull","100"]': 3, '["stop","100"]': 3}
    assert counted(world.db, Counted.PHASE_MS) == {'["pull"]': 36, '["stop"]': 9}
    assert counted(world.db, Counted.DOWNTIMES) == {'["100"]': 3}
    assert counted(world.db, Counted.DOWNTIME_MS) == {"[]": 15}
    names = {row.id: row.name for row in hosts.hosts(world.db)}
    assert {(names[row["host_id"]], row["result"], row["count"]) for row in rows(world.db, host_updates)} == {
        ("web-1", Result.UPDATED, 1),
        ("web-2", Result.UPDATED, 1),
        ("web-3", Result.ROLLED_BACK, 1),
    }


def test_what_is_told_again_is_counted_once(world: World) -> None:
    """A pull comes with the ready, with a ready that is said anew, and with its outcome; an outcome until its receipt."""
    agent, order = ordered(world, "web-1")
    agent.hear(order)
    pull = pulled(world, agent, order)
    ready = Ready(command=order.command, pulls=(pull,))
    outcome = agent.outcome(order, order.targets[0].update_id).model_copy(update={"pull": pull})
    one = world.good(agent, outcome)
    world.take_all([world.good(agent, ready), world.good(agent, ready), one, one, world.good(agent, outcome)])
    world.take_all([one, world.good(agent, outcome), world.good(agent, ready)])
    assert counted(world.db, Counted.UPDATES) == {'["updated"]': 1}
    assert sum(counted(world.db, Counted.PULLS).values()) == 1
    assert sum(counted(world.db, Counted.ATTEMPTS).values()) == 2


def test_of_a_batch_that_is_split_each_message_is_counted_once(world: World) -> None:
    """One that cannot be written has the batch halved: what was counted of it is undone with it."""
    (first, order), (second, other) = ordered(world, "web-1"), ordered(world, "web-2")
    good = [agent.outcome(of, of.targets[0].update_id) for agent, of in ((first, order), (second, other))]
    spoiled = good[1].model_copy(update={"outcome": replace(good[1].outcome, phases=None)})  # type: ignore[arg-type]
    result = world.take_all([world.good(first, good[0]), world.good(second, spoiled), world.good(second, good[1])])
    assert (result.taken, result.refused) == (2, 1)
    assert counted(world.db, Counted.UPDATES) == {'["updated"]': 2}
    assert counted(world.db, Counted.DOWNTIME_MS) == {"[]": 10}


def test_counters_stay_when_facts_are_given_up(world: World, clock: HeldClock) -> None:
    """Whoever reads counters takes one that went down for a centre that began anew, and counts all of it again."""
    world.add_host("web-1", container("web"))
    world.rollout()
    world.run()
    before = sorted((row["counter"], row["labels"], row["count"]) for row in rows(world.db, counters))
    clock.move(days=500)
    retention.prune(world.db)
    retention.prune_facts(world.db, timedelta(days=30))
    assert (rows(world.db, updates), rows(world.db, pulls)) == ([], [])
    assert sorted((row["counter"], row["labels"], row["count"]) for row in rows(world.db, counters)) == before != []


def test_hosts_cannot_make_ever_more_series(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host names mirrors as it likes: those over the limit are counted as one, and nothing is left out."""
    monkeypatch.setattr(counting, "MOST_SERIES", 3)
    for host in range(3):
        agent, order = ordered(world, f"web-{host}")
        made_up = [_attempt(f"http://{host}-{number}.lan", AttemptResult.SERVED, bytes=1) for number in range(4)]
        pulled(world, agent, order, *made_up)
    assert counted(world.db, Counted.ATTEMPTS) == {
        '["http://0-0.lan","served"]': 1,
        '["http://0-1.lan","served"]': 1,
        '["http://0-2.lan","served"]': 1,
        '["other","served"]': 9,
    }
    assert sum(counted(world.db, Counted.BYTES).values()) == 12


def _attempt(source: str, result: AttemptResult, *, bytes: int = 0, role: Role = Role.MIRROR) -> Attempt:
    return Attempt(source=source, role=role, result=result, bytes=bytes)


def test_a_host_that_lies_moves_no_counter_down_or_over_its_end(world: World) -> None:
    agent, order = ordered(world, "web-1")
    served = AttemptResult.SERVED
    pulled(world, agent, order, _attempt("a", served, bytes=2**62), _attempt("b", served, bytes=-5))
    outcome = agent.outcome(order, order.targets[0].update_id)
    lie = replace(outcome.outcome, phases=Phases(pull_ms=2**62, stop_ms=-1), downtime_ms=-(2**62))
    world.take(agent, outcome.model_copy(update={"outcome": lie}))
    assert counted(world.db, Counted.BYTES) == {'["a","mirror"]': MOST_BYTES}
    assert counted(world.db, Counted.PHASE_MS) == {'["pull"]': MOST_MS}
    assert counted(world.db, Counted.PHASES) == {f'["pull","{counting.LONGER}"]': 1, '["stop","100"]': 1}
    assert counted(world.db, Counted.DOWNTIME_MS) == {}
    assert counted(world.db, Counted.DOWNTIMES) == {'["100"]': 1}


def test_a_fallback_is_what_a_later_source_served_in_the_place_of_this_one(world: World) -> None:
    agent, order = ordered(world, "web-1")
    pulled(
        world,
        agent,
        order,
        _attempt("slow", AttemptResult.SLOW, bytes=7),
        _attempt("passed-over", AttemptResult.BREAKER_OPEN),
        _attempt("good", AttemptResult.SERVED, bytes=9),
        _attempt("behind", AttemptResult.CUT),
        _attempt("origin", AttemptResult.UNUSED, role=Role.ORIGIN),
    )
    assert counted(world.db, Counted.FALLBACKS) == {'["slow","slow"]': 1, '["passed-over","breaker_open"]': 1}
    assert '["origin","unused"]' not in counted(world.db, Counted.ATTEMPTS)
    assert '["origin","origin"]' not in counted(world.db, Counted.BYTES)


def test_a_pull_is_present_pulled_or_failed(world: World) -> None:
    ways: list[dict[str, object]] = [{"tier": Tier.PRESENT}, {"ok": False, "reason": "cannot pull it"}, {}]
    for number, changed in enumerate(ways):
        agent, order = ordered(world, f"web-{number}")
        pulled(world, agent, order, **changed)
    words = [labels.rpartition(",")[2] for labels in counted(world.db, Counted.PULLS)]
    assert sorted(words) == ['"failed"]', '"present"]', '"pulled"]']


def test_checks_are_counted_by_who_made_them_and_what_came_of_them(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    registry = "https://registry-1.docker.io"
    tags.record_resolved(world.db, IMAGE, digest_of("1"), registry)
    tags.record_resolved(world.db, IMAGE, digest_of("2"), registry)
    tags.record_resolved(world.db, IMAGE, digest_of("1"), registry)
    tags.record_failed(world.db, IMAGE, "cannot reach it")
    for digest in (digest_of("3"), ""):
        asked = tags.ask_host(world.db, IMAGE)
        world.take(agent, Resolved(request=asked, reference=IMAGE, digest=digest, endpoint=registry, reason="no"))
        clock.move(seconds=1)
    world.take(agent, Resolved(request=uuid4(), reference=IMAGE, digest=digest_of("4"), endpoint=registry))
    assert counted(world.db, Counted.CHECKS) == {
        '["docker.io","resolved","centre"]': 2,
        '["docker.io","refused","centre"]': 1,
        '["docker.io","failed","centre"]': 1,
        '["docker.io","resolved","host"]': 1,
        '["docker.io","failed","host"]': 1,
    }


def test_what_was_counted_of_a_host_goes_with_it(world: World) -> None:
    """So the table does not grow with every machine that ever was."""
    kept = _updated(world, "web-1")
    _updated(world, "web-2")
    hosts.remove_host(world.db, "web-2", **BY)
    assert retention.prune(world.db)["host_updates"] == 1
    assert [row["host_id"] for row in rows(world.db, host_updates)] == [kept]
    assert counted(world.db, Counted.UPDATES) == {'["updated"]': 2}


def _updated(world: World, name: str, result: Result = Result.UPDATED) -> UUID:
    agent, order = ordered(world, name)
    world.take(agent, agent.outcome(order, order.targets[0].update_id, result))
    return agent.id


def test_what_is_sent_to_channels_is_counted_by_what_came_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is given up as well, and so is all that waits for a channel that is gone."""
    monkeypatch.setattr(event_taking, "MOST_WAITING", 2)
    ops = add(world.db)
    for name, result in (("web-1", Result.FAILED), ("web-2", Result.FAILED)):
        world.add_host(name, container("web")).result = result
    world.rollout()
    world.run(12)
    first, second = told(world.db, ops)
    ids = [UUID(each["id"]) for each in (first, second)]
    deliveries.note_came(world.db, ops, ids[:1], later("it answered 500"))
    deliveries.note_came(world.db, ops, ids[:1], TAKEN)
    deliveries.note_came(world.db, ops, ids[:1], TAKEN)
    assert counted(world.db, Counted.NOTIFICATIONS) == {'["failed"]': 1, '["sent"]': 1, '["given_up"]': 1}
    deliveries.note_came(world.db, ops, ids[1:], Came(sent=Sent.GONE, reason="it answered 410"))
    assert counted(world.db, Counted.NOTIFICATIONS) == {'["failed"]': 1, '["sent"]': 1, '["given_up"]': 2}


def test_what_was_tried_too_long_is_counted_as_given_up(world: World, clock: HeldClock) -> None:
    ops = add(world.db)
    _updated(world, "web-1", Result.FAILED)
    waiting = len(told(world.db, ops))
    clock.at += GIVEN_UP_AFTER
    assert deliveries.give_up_old(world.db) == waiting > 0
    assert counted(world.db, Counted.NOTIFICATIONS) == {'["given_up"]': waiting}


def test_durations_are_sorted_by_their_upper_ends() -> None:
    told: Mapping[int, str] = {0: "100", 100: "100", 101: "250", 3_600_000: "3600000", 3_600_001: counting.LONGER}
    assert {ms: counting.bucket_of(ms) for ms in told} == told
