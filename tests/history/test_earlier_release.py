"""An agent of the previous release can report to this centre: what it said is recorded, byte by byte as it was then."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet.history.questions import queries
from fleet.history.questions.language import Query
from fleet.road.messages import UP, Claim, Go, Heartbeat, Order, Outcome, Progress, Ready, Resolved, Snapshot, Up
from fleet.updates.outcome import Result
from tests.history.world import Agent, World, container

RECORDS = sorted(Path(__file__).parent.glob("messages_*.json"))


@pytest.fixture(params=RECORDS, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What an agent said in one update: the ids of the record, and its messages."""
    found: dict[str, Any] = json.loads(request.param.read_text())
    return found


def _said(recorded: dict[str, Any], order: Order) -> list[Up]:
    """Return the recorded messages, about *order* in place of the one that they were about."""
    text = json.dumps(recorded["messages"])
    ids = {
        "command": order.command,
        "update": order.targets[0].update_id,
        "pull": next(iter(order.pull_ids.values())),
    }
    for name, id in ids.items():
        text = text.replace(recorded["ids"][name], str(id))
    return [UP.validate_json(json.dumps(each)) for each in json.loads(text)]


def _of(said: list[Up], *kinds: type) -> list[Up]:
    return [message for message in said if isinstance(message, kinds)]


def test_every_message_that_it_had_is_read_with_nothing_lost(recorded: dict[str, Any]) -> None:
    kinds = set()
    for message in recorded["messages"]:
        read = UP.validate_json(json.dumps(message))
        now = json.loads(read.model_dump_json())
        assert {name: value for name, value in now.items() if name in message} | message == now | message
        kinds.add(read.kind)
    assert {"claim", "ready", "outcome", "heartbeat", "snapshot", "progress", "resolved"} <= kinds


def test_its_update_comes_into_the_history(world: World, recorded: dict[str, Any]) -> None:
    agent: Agent = world.add_host("web-1", container("app"))
    world.rollout()
    (order,) = [each.message for each in world.until(Order) if isinstance(each.message, Order)]
    said = _said(recorded, order)
    taken = world.take(agent, *_of(said, Snapshot, Heartbeat, Claim, Progress, Resolved, Ready))
    assert taken.refused == 0
    assert [each for each in world.until(Go) if isinstance(each.message, Go)] != []
    assert world.take(agent, *_of(said, Outcome)).refused == 0
    (row,) = queries.outcomes(world.db, Query()).items
    detail = queries.outcome(world.db, row.id)
    assert (row.result, row.host, row.container) == (Result.UPDATED, "web-1", "app")
    assert detail.pull is not None
    assert [attempt.bytes for attempt in detail.pull.attempts] == [0, 1000]
