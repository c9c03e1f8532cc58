"""Taking messages: what is trusted is written down before it is remembered, what is not leaves no trace but a line."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from fleet.agent.centre_time import CentreTime
from fleet.agent.commands import Commands
from fleet.agent.problems import Problems
from fleet.agent.receive import Reactions, Receiver
from fleet.road.envelope import CENTRE, seal
from fleet.road.keys import SigningKey
from fleet.road.messages import Cancel, Claim, Go, Offer, Order, Probe, Receipt, Resolve, SendSnapshot
from fleet.road.versions import Message
from fleet.testing.clock import ManualClock
from fleet.updates.command import Policy
from fleet.updates.journal import CommandState, Journal

KEY = SigningKey.generate()
HOST = uuid4().hex
LIFE = uuid4()


class Site:
    """A receiver, and what it set going."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.did: list[tuple[str, Any]] = []
        self.problems = Problems()
        self.journal = Journal(path / "journal")
        self.commands = Commands(self.journal)
        reactions = Reactions(
            say=lambda up: self.did.append(("say", up)),
            put=lambda outcome: self.did.append(("put", outcome)),
            receipt=lambda id: self.did.append(("receipt", id)),
            again=lambda: self.did.append(("again", None)),
            work=lambda: self.did.append(("work", None)),
            resolve=lambda request: self.did.append(("resolve", request)),
            send_snapshot=lambda: self.did.append(("snapshot", None)),
            probe=lambda request: self.did.append(("probe", request)),
        )
        self.time = CentreTime(path / "time", clock)
        self.receiver = Receiver(
            HOST,
            {KEY.kid: KEY.public},
            self.commands,
            reactions,
            life=LIFE,
            time=self.time,
            problems=self.problems,
            clock=clock,
        )

    def sealed(self, message: Message, **how: Any) -> str:
        """Return what the centre says."""
        said: dict[str, Any] = {"key": KEY, "issuer": CENTRE, "audience": HOST, "clock": self.clock}
        return seal(message, **(said | how))

    def hear(self, message: Message, **how: Any) -> list[str]:
        """Take a message; return what that set going."""
        self.did.clear()
        self.receiver.receive(self.sealed(message, **how))
        return [what for what, _ in self.did]


@pytest.fixture
def site(tmp_path: Path, clock: ManualClock) -> Site:
    """Begin with an empty journal."""
    return Site(tmp_path, clock)


def test_an_offer_is_written_down_and_claimed(site: Site) -> None:
    id = uuid4()
    assert site.hear(Offer(command=id)) == ["say", "work"]
    assert site.did[0][1] == Claim(command=id)
    (entry,) = site.journal.commands()
    assert (entry.id, entry.state) == (id, CommandState.OFFERED)


def test_the_same_message_twice_does_nothing(site: Site) -> None:
    sealed = site.sealed(SendSnapshot())
    site.receiver.receive(sealed)
    site.receiver.receive(sealed)
    assert site.did == [("snapshot", None)]


def test_a_message_whose_effect_was_cut_off_is_taken_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = site.sealed(Offer(command=UUID(int=1)))
    with monkeypatch.context() as patch:
        patch.setattr(Commands, "receive", _killed)
        with pytest.raises(KeyboardInterrupt):
            site.receiver.receive(sealed)
    site.receiver.receive(sealed)
    assert site.journal.command(UUID(int=1)) is not None


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "how",
    [{"key": SigningKey.generate()}, {"audience": "f" * 32}, {"issuer": "f" * 32}],
    ids=["stranger", "other", "issuer"],
)
def test_what_cannot_be_trusted_sets_nothing_going(
    site: Site, how: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert site.hear(Offer(command=uuid4()), **how) == []
    assert site.journal.commands() == []
    assert "message refused" in caplog.text


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "\0", "é"])
def test_garbage_sets_nothing_going(site: Site, garbage: str) -> None:
    site.receiver.receive(garbage)
    assert site.did == []


def test_what_expired_is_refused_and_told_until_something_else_holds(site: Site) -> None:
    old = ManualClock(site.clock.now() - timedelta(hours=2))
    site.hear(SendSnapshot())
    assert site.hear(Cancel(command=uuid4()), clock=old) == []
    assert site.problems.lines()[0].startswith("message-expired: cannot take a message that expired at")
    assert site.hear(SendSnapshot()) == ["snapshot"]
    assert site.problems.lines() == ()


def test_a_clock_that_is_off_is_told_until_it_is_right(site: Site) -> None:
    for off, told in ((timedelta(days=1), True), (timedelta(), False)):
        site.time.reading()
        site.clock.advance(60)
        site.hear(SendSnapshot(), clock=ManualClock(site.clock.now() - off))
        assert [line.partition(":")[0] for line in site.problems.lines()] == ["clock-skew"] * told


def test_what_was_never_heard_of_or_cancelled_is_not_wanted(site: Site) -> None:
    offered, cancelled = uuid4(), uuid4()
    for id in (offered, cancelled):
        site.hear(Order(command=id, targets=(), policy=Policy(), pull_ids={}))
    site.hear(Cancel(command=cancelled, reason="enough"))
    wanted = [site.commands.wanted(id) for id in (offered, cancelled, uuid4())]
    assert [entry.id if entry else None for entry in wanted] == [offered, None, None]


def test_each_word_has_its_reaction(site: Site) -> None:
    assert site.hear(Resolve(request=uuid4(), reference="nginx:1")) == ["resolve"]
    assert site.hear(Probe(request=uuid4())) == ["probe"]
    assert site.hear(Receipt(ids=(uuid4(), uuid4()))) == ["receipt", "receipt"]
    assert site.hear(SendSnapshot()) == ["snapshot"]


def test_an_order_for_another_agent_of_this_host_is_left_alone(site: Site) -> None:
    """It was for this agent's last life, or for the agent of a cloned machine."""
    id = uuid4()
    order = Order(command=id, targets=(), policy=Policy(), pull_ids={})
    site.hear(Offer(command=id))
    assert site.hear(order.of_life(uuid4())) == []
    assert site.hear(Go(command=id).of_life(uuid4())) == []
    (entry,) = site.journal.commands()
    assert entry.state is CommandState.OFFERED
    site.hear(order.of_life(LIFE))
    (entry,) = site.journal.commands()
    assert entry.state is CommandState.ORDERED
