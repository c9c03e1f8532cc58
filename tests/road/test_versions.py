"""Messages of two versions: what version 1 had not is never written as version 1, and never read as it."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from fleet.road.messages import DOWN, UP, Claim, Go, Heartbeat, HostFacts, Message, Order, Ready, SendSnapshot
from fleet.updates.command import Policy

LIFE = uuid4()
BOUND: list[Message] = [
    Claim(command=uuid4()),
    Ready(command=uuid4(), pulls=()),
    Heartbeat(facts=HostFacts(agent_version="1"), host_time=datetime.now(UTC)),
    Go(command=uuid4()),
    Order(command=uuid4(), targets=(), policy=Policy(), pull_ids={}),
]


def reader(message: Message) -> TypeAdapter[Any]:
    """Return who reads such a message."""
    return DOWN if isinstance(message, Go | Order) else UP


@pytest.mark.parametrize("message", BOUND, ids=lambda message: message.kind)
class TestBound:
    def test_version_1_says_nothing_of_a_life(self, message: Message) -> None:
        written = json.loads(message.model_dump_json())
        assert written["v"] == 1
        assert "life" not in written

    def test_version_2_says_which(self, message: Message) -> None:
        written = json.loads(message.of_life(LIFE).model_dump_json())
        assert (written["v"], written["life"]) == (2, str(LIFE))

    def test_both_are_read_back(self, message: Message) -> None:
        for each in (message, message.of_life(LIFE)):
            assert reader(message).validate_json(each.model_dump_json()) == each

    def test_a_life_in_version_1_is_refused(self, message: Message) -> None:
        forged = json.loads(message.of_life(LIFE).model_dump_json()) | {"v": 1}
        with pytest.raises(ValidationError):
            reader(message).validate_json(json.dumps(forged))

    def test_a_version_that_there_is_not_is_refused(self, message: Message) -> None:
        with pytest.raises(ValidationError):
            reader(message).validate_json(json.dumps(json.loads(message.model_dump_json()) | {"v": 3}))


def test_what_is_bound_to_nobody_stays_as_it_is() -> None:
    assert SendSnapshot().of_life(LIFE) == SendSnapshot()
