"""Messages of several versions: what an earlier one had not is never written as it, and never read as it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.source import Role
from fleet.road.messages import (
    DOWN,
    UP,
    Claim,
    Go,
    Heartbeat,
    HostFacts,
    Order,
    Outcome,
    Probe,
    Ready,
    SendSnapshot,
    Snapshot,
)
from fleet.road.versions import VERSION, Message
from fleet.updates.command import Policy, UpdateCommand
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome

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
            reader(message).validate_json(json.dumps(json.loads(message.model_dump_json()) | {"v": VERSION + 1}))


def outcome(version: int, *, interrupted: bool = True) -> Outcome:
    """Return what is told of an update that was taken back, to a reader of *version*."""
    came = UpdateOutcome(update_id=uuid4(), container="web", result=Result.ROLLED_BACK, interrupted=interrupted)
    return Outcome.read_in(version, command=uuid4(), outcome=came, finished_at=datetime.now(UTC))


class TestInterrupted:
    @pytest.mark.parametrize("version", [1, 2])
    def test_an_earlier_centre_is_told_all_else(self, version: int) -> None:
        told = outcome(version)
        written = json.loads(told.model_dump_json())
        assert written["v"] == 1
        assert "interrupted" not in written["outcome"]
        assert written["outcome"]["result"] == "rolled_back"
        assert UP.validate_json(json.dumps(written)) == told

    def test_one_that_reads_version_3_is_told(self) -> None:
        told = outcome(3)
        written = json.loads(told.model_dump_json())
        assert (written["v"], written["outcome"]["interrupted"]) == (3, True)
        assert UP.validate_json(json.dumps(written)) == told

    def test_where_there_is_nothing_to_tell_any_centre_reads_it(self) -> None:
        assert "interrupted" not in json.loads(outcome(3, interrupted=False).model_dump_json())["outcome"]

    @pytest.mark.parametrize("version", [1, 2])
    def test_it_is_refused_in_an_earlier_version(self, version: int) -> None:
        forged = json.loads(outcome(3).model_dump_json()) | {"v": version}
        with pytest.raises(ValidationError, match=r"outcome\.interrupted is no field of version"):
            UP.validate_json(json.dumps(forged))


class TestOrders:
    @pytest.mark.parametrize(
        ("reads", "version"), [((), 2), ((1,), 2), ((1, 2), 2), ((1, 2, 3), 3), (range(1, VERSION + 2), VERSION)]
    )
    def test_they_are_in_the_highest_version_that_both_know(self, reads: tuple[int, ...], version: int) -> None:
        assert Go(command=uuid4()).of_life(LIFE, reads).v == version


POLICY = Policy(
    mirrors=parse_mirrors(
        [{"url": "http://a"}, {"url": "http://b", "proxy": "site"}, {"url": "http://c", "auth": "none"}]
    ),
    speeds={"http://a": 7},
)


def ordered(policy: Policy) -> Order:
    """Return an order as it is kept in SQL and read again."""
    order = Order.of(UpdateCommand(id=uuid4(), targets=(), policy=policy, pull_ids={}))
    return Order.model_validate(json.loads(json.dumps(order.model_dump(mode="json"))))


class TestOwnWays:
    """Logins and proxies of single mirrors, and speeds, are of version 4."""

    def test_an_order_keeps_them_and_tells_who_reads_them(self) -> None:
        kept = ordered(POLICY)
        assert kept.policy == POLICY
        for reads, version in (((1, 2, 3, 4), 4), ((1, 2, 3, 4, 5, 6), 5)):
            told = DOWN.validate_json(kept.of_life(LIFE, reads).model_dump_json())
            assert isinstance(told, Order)
            assert (told.v, told.policy) == (version, POLICY)

    @pytest.mark.parametrize("reads", [(), (1,), (1, 2), (1, 2, 3)])
    def test_an_earlier_agent_is_told_of_no_mirror_that_it_would_ask_otherwise(self, reads: tuple[int, ...]) -> None:
        for told in (ordered(POLICY).of_life(LIFE, reads), ordered(POLICY).of_nobody()):
            written = json.loads(told.model_dump_json())
            assert [rule["endpoint"]["host"] for rule in written["policy"]["mirrors"]] == ["a"]
            assert "speeds" not in written["policy"]
            assert not {"auth", "proxy"} & set(written["policy"]["mirrors"][0]["endpoint"])

    @pytest.mark.parametrize("mirror", [{"url": "http://b", "proxy": "site"}, {"url": "http://c", "auth": "none"}])
    def test_either_alone_is_of_version_4(self, mirror: dict[str, str]) -> None:
        policy = Policy(mirrors=parse_mirrors([mirror]))
        assert (ordered(policy).v, ordered(policy).policy) == (4, policy)

    def test_an_order_without_them_is_as_it_was(self) -> None:
        plain = ordered(Policy(mirrors=POLICY.mirrors[:1], speeds={}))
        assert plain.v == 1
        assert "auth" not in plain.model_dump_json()

    @pytest.mark.parametrize(("reads", "told"), [((), ["a"]), ((1, 2, 3), ["a"]), ((1, 2, 3, 4), ["a", "b", "c"])])
    def test_a_look_is_asked_for_in_words_that_its_host_knows(self, reads: tuple[int, ...], told: list[str]) -> None:
        probe = Probe.read_by(reads, request=uuid4(), mirrors=POLICY.mirrors)
        kept = DOWN.validate_python(probe.model_dump(mode="json"))
        assert isinstance(kept, Probe)
        assert [rule.endpoint.host for rule in kept.mirrors] == told

    def test_speeds_are_refused_in_an_earlier_version(self) -> None:
        forged = json.loads(ordered(POLICY).of_life(LIFE, (4,)).model_dump_json()) | {"v": 3}
        with pytest.raises(ValidationError, match=r"policy\.speeds is no field of version 3"):
            DOWN.validate_json(json.dumps(forged))

    def test_a_snapshot_is_read_by_an_earlier_centre_where_no_mirror_has_its_own(self) -> None:
        snapshot = Snapshot(hash="h", containers=(), mirrors=POLICY.mirrors)
        first, second, _ = json.loads(snapshot.model_dump_json())["mirrors"]
        assert not {"auth", "proxy"} & set(first["endpoint"])
        assert second["endpoint"]["proxy"] == "site"
        assert UP.validate_json(snapshot.model_dump_json()) == snapshot


SENT_ON = PullOutcome(
    pull_id=uuid4(),
    reference="docker.io/library/nginx:1",
    digest="sha256:" + "a" * 64,
    ok=True,
    tier=Tier.LOOPBACK,
    attempts=(Attempt(source="http://a", role=Role.MIRROR, result=AttemptResult.SERVED, redirected_to=("cdn.lan",)),),
)
"""A pull whose source sent to another host for bytes."""


class TestRedirects:
    """To whom a source sent for bytes is of version 5."""

    @pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
    def test_a_centre_is_told_where_it_reads_of_it(self, version: int) -> None:
        told = Ready.read_in(version, command=uuid4(), pulls=(SENT_ON,)).of_life(LIFE)
        (attempt,) = json.loads(told.model_dump_json())["pulls"][0]["attempts"]
        assert attempt.get("redirected_to") == (["cdn.lan"] if version == 5 else None)
        assert told.v == (5 if version == 5 else 2)
        back = UP.validate_json(told.model_dump_json())
        assert isinstance(back, Ready)
        assert (back == told) is (version == 5)

    @pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize("interrupted", [False, True])
    def test_an_outcome_says_it_beside_all_else(self, version: int, interrupted: bool) -> None:
        came = UpdateOutcome(update_id=uuid4(), container="web", result=Result.FAILED, interrupted=interrupted)
        told = Outcome.read_in(version, command=uuid4(), outcome=came, pull=SENT_ON, finished_at=datetime.now(UTC))
        written = json.loads(told.model_dump_json())
        assert written["pull"]["attempts"][0].get("redirected_to") == (["cdn.lan"] if version == 5 else None)
        assert written["outcome"].get("interrupted", False) is (interrupted and version >= 3)
        assert UP.validate_json(json.dumps(written)).v <= version

    def test_where_no_source_sent_on_any_centre_reads_it(self) -> None:
        plain = replace(SENT_ON, attempts=tuple(replace(each, redirected_to=()) for each in SENT_ON.attempts))
        told = Ready.read_in(5, command=uuid4(), pulls=(plain,))
        assert "redirected_to" not in told.model_dump_json()
        assert UP.validate_json(told.model_dump_json()) == told


def test_what_is_bound_to_nobody_stays_as_it_is() -> None:
    assert SendSnapshot().of_life(LIFE) == SendSnapshot()
