"""What must reach the centre: kept until the receipt, said again with patience, once in effect."""

import errno
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from fleet.agent import outbox as module
from fleet.agent.commands import Commands
from fleet.agent.courier import Courier
from fleet.agent.outbox import LONGEST_S, Outbox
from fleet.agent.problems import Problems
from fleet.errors import BadInput, BrokerUnreachable
from fleet.road.messages import (
    Claim,
    Go,
    Heartbeat,
    HostFacts,
    Offer,
    Order,
    Outcome,
    Progress,
    Ready,
    Snapshot,
)
from fleet.road.versions import Message
from fleet.testing.clock import ManualClock
from fleet.updates.command import Policy
from fleet.updates.journal import CommandState, Journal
from fleet.updates.outcome import Result, UpdateOutcome

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def outcome(number: int = 1, **more: Any) -> Outcome:
    """Return an outcome."""
    told = UpdateOutcome(update_id=UUID(int=number), container="web", result=Result.UPDATED, **more)
    return Outcome(command=UUID(int=7), outcome=told, finished_at=NOW)


class Site:
    """A courier over a broker that may be away."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.path, self.clock = path, clock
        self.problems = Problems()
        self.sent: list[tuple[Message, UUID | None]] = []
        self.away = False
        self.most_bytes = 10**9
        self.commands = Commands(Journal(path / "journal"))
        self.outbox = Outbox(path / "outbox", clock=clock, problems=self.problems)
        self.courier = Courier(self._send, self.outbox, self.commands, clock=clock)

    def _send(self, message: Message, id: UUID | None) -> None:
        if len(message.model_dump_json()) > self.most_bytes:
            raise BadInput("cannot send a message of that size")
        if self.away:
            raise BrokerUnreachable
        self.sent.append((message, id))

    def step(self, after_s: float = 0) -> list[Message]:
        """Let time pass, take a step, and return what was sent."""
        self.clock.advance(after_s)
        self.sent.clear()
        self.next_s = self.courier.step()
        return [message for message, _ in self.sent]


@pytest.fixture
def site(tmp_path: Path, clock: ManualClock) -> Site:
    """Begin with nothing to say."""
    return Site(tmp_path, clock)


def test_an_outcome_is_said_at_once_and_again_until_its_receipt(site: Site) -> None:
    told = outcome(config_diff=("Config.User: unset -> set",))
    site.courier.put(told)
    assert site.step() == [told]
    assert site.step(1) == []
    assert site.step(30) == [told]
    site.courier.receipt(UUID(int=1))
    assert site.step(10_000) == []
    assert list((site.path / "outbox").iterdir()) == []


def test_it_is_said_less_and_less_often_and_never_given_up(site: Site) -> None:
    site.courier.put(outcome())
    pauses = []
    for _ in range(20):
        assert site.step() == [outcome()]
        pauses.append(site.outbox.next_in_s())
        site.clock.advance(pauses[-1])
    assert pauses[0] < 15 < pauses[2] < pauses[-1]
    assert max(pauses) <= LONGEST_S * 1.2


def test_its_message_has_the_same_id_each_time_and_in_every_life(site: Site) -> None:
    site.courier.put(outcome())
    site.step()
    ((_, first),) = site.sent
    again = Site(site.path, site.clock)
    assert again.step() == [outcome()]
    assert again.sent[0][1] == first


def test_so_many_wait_as_have_no_receipt(site: Site) -> None:
    """The centre is told with each heartbeat, whether or not they were said."""
    for number in (1, 2, 3):
        site.outbox.put(outcome(number))
    site.step()
    assert len(site.outbox) == 3
    assert [site.outbox.drop(UUID(int=number)) for number in (2, 2)] == [True, False]
    assert len(Outbox(site.path / "outbox", clock=site.clock, problems=site.problems)) == 2


def test_an_outcome_that_is_put_twice_stays_the_first(site: Site) -> None:
    site.courier.put(outcome())
    site.courier.put(outcome(reason="cannot, another one"))
    assert site.step() == [outcome()]


def test_a_full_disk_loses_no_outcome_and_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            site.courier.put(outcome())
    assert site.step() == [outcome()]
    site.courier.put(outcome(2))
    assert site.problems.lines()[0].startswith("outbox-unwritten: cannot write")
    assert Site(site.path, site.clock).step() == [outcome(2)]
    site.courier.put(outcome())
    assert site.problems.lines() == ()
    assert Site(site.path, site.clock).step() == [outcome(), outcome(2)]


def test_a_damaged_outcome_spoils_no_other(site: Site) -> None:
    site.courier.put(outcome())
    (site.path / "outbox" / f"{uuid4()}.json").write_text("{")
    again = Site(site.path, site.clock)
    assert again.step() == [outcome()]
    assert again.problems.lines()[0].startswith("outbox-unreadable: cannot read")


def test_an_outcome_that_is_too_large_is_told_without_its_details(site: Site) -> None:
    site.most_bytes = 5_000
    site.courier.put(outcome(config_diff=("x" * 10_000,), reason="cannot" * 2_000))
    (told,) = site.step()
    assert isinstance(told, Outcome)
    assert told.outcome.config_diff == ()
    assert told.outcome.result is Result.UPDATED


def test_while_the_broker_is_away_everything_is_kept(site: Site) -> None:
    woken: list[bool] = []
    site.courier.wake = lambda: woken.append(True)
    site.away = True
    site.courier.put(outcome())
    site.courier.say(Claim(command=UUID(int=7)))
    assert len(woken) == 2, "it is said at once where the broker is there"
    assert site.step() == []
    assert 0 < site.next_s <= 36
    site.away = False
    assert site.step() == [outcome(), Claim(command=UUID(int=7))]


def test_a_newer_heartbeat_takes_the_place_of_one_that_waits(site: Site) -> None:
    beats = [Heartbeat(facts=HostFacts(agent_version=str(n)), host_time=NOW) for n in range(3)]
    for beat in beats:
        site.courier.say(beat)
    assert site.step() == [beats[2]]


def test_a_newer_snapshot_takes_the_place_of_every_part_of_one_that_waits(site: Site) -> None:
    for part in range(3):
        site.courier.say(Snapshot(hash="old", part=part, parts=3, containers=()))
    site.courier.say(Snapshot(hash="new", containers=()))
    assert site.step() == [Snapshot(hash="new", containers=())]


def test_progress_is_said_once_a_second_and_the_latest_wins(site: Site) -> None:
    for number in range(5):
        site.courier.say(Progress(command=UUID(int=7), phase="pull", bytes=number))
    assert site.step() == [Progress(command=UUID(int=7), phase="pull", bytes=4)]
    site.courier.say(Progress(command=UUID(int=7), phase="pull", bytes=5))
    assert site.step(0.5) == []
    assert site.next_s == pytest.approx(0.5)
    assert site.step(0.5) == [Progress(command=UUID(int=7), phase="pull", bytes=5)]


def test_progress_is_not_said_after_the_outcome(site: Site) -> None:
    site.courier.say(Progress(command=UUID(int=7), phase="verify"))
    site.courier.put(outcome())
    assert site.step() == [outcome()]


def test_ready_is_said_until_the_go(site: Site) -> None:
    id = UUID(int=7)
    order = Order(command=id, targets=(), policy=Policy(), pull_ids={})
    site.commands.receive(Offer(command=id), NOW, site.courier.put)
    site.commands.receive(order, NOW, site.courier.put)
    assert site.step() == []
    site.commands.change(id, lambda entry: _in_state(entry, CommandState.READY))
    assert site.step() == [Ready(command=id, pulls=())]
    assert site.step(30) == [Ready(command=id, pulls=())]
    site.commands.receive(Go(command=id), NOW, site.courier.put)
    assert site.step(1_000) == []


def _in_state(entry: Any, state: CommandState) -> Any:
    from dataclasses import replace

    return replace(entry, state=state)


def test_when_the_centre_asks_again_it_is_answered_at_once(site: Site) -> None:
    site.courier.put(outcome())
    site.step()
    site.courier.again()
    assert site.step() == [outcome()]
