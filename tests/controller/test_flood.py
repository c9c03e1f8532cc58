"""One host that fills the broker is thrown out, and nobody else; what it had to say is not lost."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from fleet.controller.flood import SPARED, FloodGate, flooding
from fleet.controller.reconciler import Reconciled
from fleet.errors import BrokerUnreachable
from fleet.history.inbox.batch import MOST_CANCELS
from fleet.history.inventory import hosts
from fleet.history.inventory.logins import MUTED_FOR
from fleet.history.tables.inventory import hosts as table
from fleet.road.names import SHARED_INBOX, host_queue, inbox_key
from tests.controller.centre import Centre, ScriptedHost

CAP = 2 * 1024 * 1024
SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 3 * CAP), max_size=12)


@pytest.fixture
def gate(centre: Centre) -> Iterator[FloodGate]:
    """A gate with a small cap."""
    gate = FloodGate.open(centre.db, centre.broker, CAP)
    yield gate
    gate.close()


def flood(host: ScriptedHost, key: str, total: int = CAP) -> None:
    """Let the host send more than the cap, over its own login."""
    with host.broker.client() as client:
        pipeline = client.pipeline(transaction=False)
        for _ in range(total // 100_000 + 1):
            pipeline.lpush(key, b"x" * 100_000)
        pipeline.execute()


def muted(centre: Centre, name: str) -> bool:
    """Tell whether the host was ever shut out."""
    return hosts.host(centre.db, name).muted_at is not None


@pytest.mark.redis
class TestGate:
    def test_who_sent_too_much_may_send_nothing_and_its_list_is_gone(self, centre: Centre, gate: FloodGate) -> None:
        evil, good = centre.add_host("web-1"), centre.add_host("web-2")
        good.heartbeat()
        flood(evil, inbox_key(evil.id.hex))
        assert gate.look() == [evil.id.hex]
        with pytest.raises(BrokerUnreachable, match="NoPermission"):
            evil.heartbeat()
        good.heartbeat()
        assert centre.reader.length() == 2
        assert (muted(centre, "web-1"), muted(centre, "web-2")) == (True, False)
        assert gate.look() == []
        assert centre.reconciler.reconcile() == Reconciled()

    def test_it_still_reads_its_queue(self, centre: Centre, gate: FloodGate) -> None:
        evil = centre.add_host("web-1")
        flood(evil, inbox_key(evil.id.hex))
        gate.look()
        assert evil.hear(0.01) == []

    @pytest.mark.parametrize(
        ("command", "key"),
        [
            ("RPUSH {q}", "{q}"),
            ("HSET {q}.unacked {n}", "{q}.unacked"),
            ("ZADD {q}.unacked_index 1", "{q}.unacked_index"),
        ],
    )
    def test_who_keeps_too_much_in_keys_of_its_own_may_let_none_grow(
        self, centre: Centre, gate: FloodGate, command: str, key: str
    ) -> None:
        evil, good = centre.add_host("web-1"), centre.add_host("web-2")
        good.heartbeat()
        own = host_queue(evil.id.hex)
        with evil.broker.client() as client, centre.broker.client() as all_of_it:
            for n in range(CAP // 200_000 + 1):
                value = f"{n:0>6}".encode() + b"x" * 200_000
                client.execute_command(*command.format(q=own, n=n).split(), value)
            assert gate.look() == [evil.id.hex]
            assert not all_of_it.exists(key.format(q=own))
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.format(q=own, n=0).split(), b"x")
        assert (muted(centre, "web-1"), muted(centre, "web-2")) == (True, False)
        assert evil.hear(0.01) == []
        assert centre.reconciler.reconcile() == Reconciled()

    def test_there_are_no_more_keys_of_its_own_than_are_counted(self, centre: Centre) -> None:
        """Of a pattern a host could make keys without end, which nobody looks for."""
        evil = centre.add_host("web-1")
        with evil.broker.client() as client, pytest.raises(redis.exceptions.NoPermissionError):
            client.hset(f"{host_queue(evil.id.hex)}.unacked.more", "a", "b")

    def test_a_host_that_names_any_commands_is_answered_for_a_few(self, centre: Centre) -> None:
        evil = centre.add_host("web-1")
        for _ in range(3):
            evil.heartbeat(claims=tuple(uuid4() for _ in range(200)), ready=tuple(uuid4() for _ in range(200)))
        centre.turn()
        assert evil.words() == ["cancel"] * MOST_CANCELS

    def test_the_right_is_given_back_when_its_time_is_over(self, centre: Centre, gate: FloodGate) -> None:
        evil = centre.add_host("web-1")
        flood(evil, inbox_key(evil.id.hex))
        gate.look()
        centre.reconciler.reconcile()
        with pytest.raises(BrokerUnreachable):
            evil.heartbeat()
        with centre.db.writing() as connection:
            connection.execute(update(table).values(muted_at=centre.db.now() - MUTED_FOR - timedelta(seconds=1)))
        assert centre.reconciler.reconcile() == Reconciled(restored=1)
        evil.heartbeat()
        centre.turn()
        assert hosts.host(centre.db, "web-1").last_seen_at is not None

    def test_of_the_one_list_of_all_everybody_who_may_use_it_is_shut_out(self, centre: Centre, gate: FloodGate) -> None:
        """Which of them it was cannot be proved; hosts that have a list of their own go on."""
        old, new = centre.add_host("web-1"), centre.add_host("web-2")
        with centre.db.writing() as connection:
            connection.execute(update(table).where(table.c.id == new.id).values(reads=(1, 2)))
        assert centre.reconciler.reconcile() == Reconciled(restored=1)
        with pytest.raises(Exception, match=r"(?i)no permission"):
            flood(new, SHARED_INBOX)
        flood(old, SHARED_INBOX)
        assert gate.look() == [""]
        new.heartbeat()
        with pytest.raises(BrokerUnreachable):
            old.heartbeat()

    def test_a_tick_looks(self, centre: Centre) -> None:
        evil = centre.add_host("web-1")
        centre.planner._ways.gate.cap_bytes = CAP
        flood(evil, inbox_key(evil.id.hex))
        centre.planner.tick()
        assert muted(centre, "web-1")
        assert centre.reader.length() == 0


@given(SIZES)
def test_what_is_left_fits_or_is_nobodys_fault(sizes: dict[str, int]) -> None:
    gone = flooding(sizes, CAP)
    left = {name: size for name, size in sizes.items() if name not in gone}
    assert sum(left.values()) <= CAP or all(size * SPARED < CAP for size in left.values())


@given(SIZES)
def test_nobody_is_shut_out_for_whom_there_was_room(sizes: dict[str, int]) -> None:
    gone = flooding(sizes, CAP)
    assert [sizes[name] for name in gone] == sorted((sizes[name] for name in gone), reverse=True)
    if sum(sizes.values()) <= CAP:
        assert gone == []
    if gone:
        assert sum(sizes.values()) - sum(sizes[name] for name in gone[:-1]) > CAP
