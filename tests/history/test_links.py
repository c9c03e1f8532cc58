"""Links answer for the wave that they were made for, once, in time, and for a channel that may have them; on both databases."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from fleet.errors import NotFound
from fleet.history.noted import audit
from fleet.history.notify import channels, event_taking, links
from fleet.history.notify.channels import ChannelChange
from fleet.history.notify.links import MadeLink
from fleet.history.questions.held import held_rollouts
from fleet.history.rollouts import people as rollouts
from fleet.history.sql.database import Database
from fleet.history.tables.notify import channels as channels_table
from fleet.history.tables.notify import events
from fleet.history.tables.notify import links as table
from fleet.history.tables.rollouts import rollouts as rollouts_table
from fleet.history.tables.rollouts import waves
from fleet.history.tables.words import ChannelKind
from fleet.history.upkeep import retention
from fleet.notify.events import EventType
from fleet.notify.links import LinkAct, LinkState, hash_of
from fleet.notify.rule import Rule
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import RolloutState, WaveState
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, rows

DAY = timedelta(days=1)
DOOR = "link 192.0.2.7"
SPEC = RolloutSpec.parse({"waves": [{"size": 1, "approval": True}, {"size": "rest", "approval": True}]})


def add(db: Database, name: str = "ops", *, may: bool = True) -> UUID:
    """Add a channel that may have links, or not; return its id."""
    kind = ChannelKind.WEBHOOK
    return channels.add_channel(db, name=name, kind=kind, address="a", sealed="s", rule=Rule(), links=may, **BY).id


def asked(world: World) -> UUID:
    """Return the event that asks for the approval that is waited for now."""
    event_taking.take_events(world.db, "urn:fleet:test")
    found = [row for row in rows(world.db, events) if row["type"] is EventType.APPROVAL_REQUESTED]
    return UUID(str(max(found, key=lambda row: (row["at"], row["id"]))["id"]))


def made(world: World, channel: UUID, event: UUID | None = None) -> dict[LinkAct, MadeLink]:
    """Return the links that the message about an event holds, by what they do."""
    found = links.make_links(world.db, channel, event or asked(world), lambda id: hash_of(str(id)), DAY)
    return {each.act: each for each in found}


def wave_states(world: World) -> Sequence[WaveState]:
    return [row["state"] for row in sorted(rows(world.db, waves), key=lambda row: row["number"])]


@pytest.fixture
def waiting(world: World) -> World:
    """A fleet with a rollout of two waves, of which each waits for a person."""
    for name in ("web-1", "web-2"):
        world.add_host(name, container("shop"))
    world.rollout(spec=SPEC)
    world.tick()
    return world


def test_a_message_that_is_sent_again_holds_the_same_links(waiting: World) -> None:
    ops = add(waiting.db)
    first = made(waiting, ops)
    assert set(first) == {LinkAct.APPROVE, LinkAct.ABORT}
    assert made(waiting, ops) == first
    found = links.link(waiting.db, first[LinkAct.APPROVE].id)
    assert found is not None
    assert (found.state, found.rollout, found.wave, found.waves, found.channel) == (LinkState.OPEN, 1, 0, 2, "ops")
    assert found.brought is not None
    assert [image for image, _ in found.brought.images] == ["docker.io/library/nginx:1.27"]
    assert {row["sha256"] for row in rows(waiting.db, table)} == {hash_of(str(each.id)) for each in first.values()}


def test_a_channel_that_may_have_none_gets_none(waiting: World) -> None:
    assert made(waiting, add(waiting.db, may=False)) == {}
    assert rows(waiting.db, table) == []


def test_a_link_approves_its_wave_once_and_stands_in_the_audit(waiting: World) -> None:
    found = made(waiting, add(waiting.db))
    approve = found[LinkAct.APPROVE].id
    assert links.use_link(waiting.db, approve, door=DOOR)[1]
    assert links.use_link(waiting.db, approve, door=DOOR)[1] is False
    (act,) = audit.acts(waiting.db, action="rollout approved").items
    assert (act.who, act.door, act.subject) == ("channel:ops", DOOR, "#1")
    assert (act.details["channel"], act.details["link"]) == ("ops", str(approve))
    waiting.run(12)
    assert wave_states(waiting) == [WaveState.PASSED, WaveState.PENDING], "the second wave waits for another answer"
    states = [links.link(waiting.db, each.id) for each in (found[LinkAct.APPROVE], found[LinkAct.ABORT])]
    assert [each.state for each in states if each] == [LinkState.USED, LinkState.OVERTAKEN]
    assert links.use_link(waiting.db, found[LinkAct.ABORT].id, door=DOOR)[1] is False
    assert rows(waiting.db, rollouts_table)[0]["state"] is RolloutState.RUNNING


def test_a_link_that_aborts_ends_the_rollout(waiting: World) -> None:
    abort = made(waiting, add(waiting.db))[LinkAct.ABORT].id
    assert links.use_link(waiting.db, abort, door=DOOR)[1]
    waiting.run(4)
    (row,) = rows(waiting.db, rollouts_table)
    assert (row["state"], row["reason"]) == (RolloutState.ABORTED, "by a link in a message")


def test_the_link_of_one_wave_does_nothing_for_the_next(waiting: World) -> None:
    ops = add(waiting.db)
    first, event = made(waiting, ops)[LinkAct.APPROVE], asked(waiting)
    rollouts.approve_wave(waiting.db, rows(waiting.db, rollouts_table)[0]["id"], **BY)
    waiting.run(12)
    assert made(waiting, ops, event) == {}, "what is not waited for is not offered"
    second = made(waiting, ops)[LinkAct.APPROVE]
    found, done = links.use_link(waiting.db, first.id, door=DOOR)
    assert (found.state, done) == (LinkState.OVERTAKEN, False)
    assert wave_states(waiting) == [WaveState.PASSED, WaveState.PENDING]
    assert links.use_link(waiting.db, second.id, door=DOOR)[1]
    waiting.run(12)
    assert wave_states(waiting) == [WaveState.PASSED, WaveState.PASSED]


def test_a_link_ends_with_its_time_and_holds_again_where_it_is_sent_again(waiting: World, clock: HeldClock) -> None:
    ops = add(waiting.db)
    approve = made(waiting, ops)[LinkAct.APPROVE]
    clock.at += DAY
    found, done = links.use_link(waiting.db, approve.id, door=DOOR)
    assert (found.state, done) == (LinkState.EXPIRED, False)
    again = made(waiting, ops)[LinkAct.APPROVE]
    assert (again.id, again.expires_at) == (approve.id, clock.at + DAY)
    assert links.use_link(waiting.db, approve.id, door=DOOR)[1]


def test_what_waits_for_a_person_is_found_with_what_it_is(waiting: World, clock: HeldClock) -> None:
    (row,) = held_rollouts(waiting.db)
    asked = row.asked
    assert asked is not None
    assert (asked.wave, asked.waves, asked.hosts) == (0, 2, 1)
    assert [image for image, _ in asked.brought.images] == ["docker.io/library/nginx:1.27"]
    began = asked.since
    rollouts.approve_wave(waiting.db, rows(waiting.db, rollouts_table)[0]["id"], **BY)
    assert held_rollouts(waiting.db) == []
    clock.move(minutes=1)
    waiting.run(12)
    (row,) = held_rollouts(waiting.db)
    assert row.asked is not None
    assert (row.asked.wave, row.asked.since > began) == (1, True)


def test_links_end_with_their_rollout(waiting: World) -> None:
    approve = made(waiting, add(waiting.db))[LinkAct.APPROVE].id
    rollouts.abort_rollout(waiting.db, rows(waiting.db, rollouts_table)[0]["id"], **BY)
    found, done = links.use_link(waiting.db, approve, door=DOOR)
    assert (found.state, done) == (LinkState.OVERTAKEN, False)
    assert audit.acts(waiting.db, action="rollout approved").items == ()


@pytest.mark.parametrize("how", ["removed", "told that it may have none", "told so by an earlier release"])
def test_links_are_taken_back_with_their_channel(waiting: World, how: str) -> None:
    ops = add(waiting.db)
    approve = made(waiting, ops)[LinkAct.APPROVE].id
    match how:
        case "removed":
            channels.remove_channel(waiting.db, "ops", **BY)
        case "told that it may have none":
            channels.change_channel(waiting.db, "ops", ChannelChange(links=False), **BY)
            channels.change_channel(waiting.db, "ops", ChannelChange(links=True), **BY)
        case _:  # which removes a channel, and knows nothing of links
            with waiting.db.writing() as connection:
                connection.execute(channels_table.delete())
    assert links.link(waiting.db, approve) is None
    with pytest.raises(NotFound):
        links.use_link(waiting.db, approve, door=DOOR)
    assert wave_states(waiting)[0] is WaveState.PENDING


def test_of_two_who_answer_at_once_one_does(waiting: World) -> None:
    """Two channels were told, and both approve; the rollout moves on by one of them."""
    approves = [made(waiting, add(waiting.db, name))[LinkAct.APPROVE].id for name in ("ops", "shop")]
    came: list[bool] = []
    threads = [
        threading.Thread(target=lambda id=id: came.append(links.use_link(waiting.db, id, door=DOOR)[1]))
        for id in (*approves, *approves)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(came) == [False, False, False, True]
    assert len(audit.acts(waiting.db, action="rollout approved").items) == 1


def test_old_links_are_not_kept(waiting: World, clock: HeldClock) -> None:
    made(waiting, add(waiting.db))
    clock.at += retention.EVENTS_FOR
    assert "links" not in retention.prune(waiting.db)
    clock.at += timedelta(seconds=1)
    assert retention.prune(waiting.db)["links"] == 2


def test_an_event_of_an_earlier_release_which_names_no_wave_has_none(waiting: World) -> None:
    ops, event = add(waiting.db), asked(waiting)
    with waiting.db.writing() as connection:
        details = connection.execute(select(events.c.details).where(events.c.id == event)).scalar_one()
        without = {name: value for name, value in details.items() if name != "wave"}
        connection.execute(events.update().where(events.c.id == event).values(details=without))
    assert made(waiting, ops, event) == {}
