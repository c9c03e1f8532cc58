"""The way up: what hosts appended is looked at, then taken away, and never taken away unseen."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from fleet.road.broker import BrokerAddress
from fleet.road.names import SHARED_INBOX, acl_user, inbox_key
from fleet.road.up import PEEK_BYTES, InboxReader, Uplink
from fleet.road.versions import MAX_MESSAGE_BYTES

pytestmark = pytest.mark.redis


@pytest.fixture
def uplink(host: BrokerAddress, host_id: str) -> Iterator[Uplink]:
    """Speak as a host, with its own login."""
    uplink = Uplink(host, host_id)
    yield uplink
    uplink.close()


@pytest.fixture
def reader(broker: BrokerAddress) -> Iterator[InboxReader]:
    """Read as the centre."""
    reader = InboxReader(broker)
    yield reader
    reader.close()


def peek(reader: InboxReader, n: int) -> list[bytes]:
    """Return what waits, without whose it is."""
    return [letter.raw for letter in reader.peek(n)]


def test_the_oldest_message_comes_first(uplink: Uplink, reader: InboxReader) -> None:
    for text in ("one", "two", "three"):
        uplink.send(text)
    assert peek(reader, 2) == [b"one", b"two"]


def test_looking_takes_nothing_away(uplink: Uplink, reader: InboxReader) -> None:
    uplink.send("one")
    assert peek(reader, 10) == peek(reader, 10) == [b"one"]
    assert reader.length() == 1


def test_trimming_takes_away_what_was_seen_and_no_later_one(uplink: Uplink, reader: InboxReader) -> None:
    uplink.send("one")
    uplink.send("two")
    reader.peek(10)
    uplink.send("three")
    assert reader.trim()
    assert peek(reader, 10) == [b"three"]


def test_an_empty_inbox_is_no_trouble(reader: InboxReader) -> None:
    assert peek(reader, 10) == []
    assert reader.trim()


def test_a_list_that_changed_underneath_is_not_trimmed(
    uplink: Uplink, reader: InboxReader, broker: BrokerAddress
) -> None:
    """Another inbox trimmed it, or the broker was flushed: the next look takes what is there now."""
    for text in ("one", "two", "three"):
        uplink.send(text)
    reader.peek(2)
    other = InboxReader(broker)
    other.peek(1)
    other.trim()
    assert not reader.trim()
    assert peek(reader, 10) == [b"two", b"three"]
    with broker.client() as centre:
        centre.flushall()
    assert not reader.trim()
    other.close()


def test_a_message_over_the_limit_comes_empty_and_goes_as_any_other(uplink: Uplink, reader: InboxReader) -> None:
    uplink.send("x" * (MAX_MESSAGE_BYTES + 1))
    uplink.send("two")
    assert peek(reader, 10) == [b"", b"two"]
    assert reader.trim()
    assert reader.length() == 0


def test_one_look_takes_no_more_than_its_share_of_memory(uplink: Uplink, reader: InboxReader) -> None:
    size = MAX_MESSAGE_BYTES
    for _ in range(PEEK_BYTES // size + 3):
        uplink.send("x" * size)
    assert len(peek(reader, 100)) == PEEK_BYTES // size


def test_garbage_is_handed_over_as_it_is(uplink: Uplink, reader: InboxReader, broker: BrokerAddress) -> None:
    with broker.client() as centre:
        centre.lpush("fleet.inbox", b"\xff\x00\xfe")
    assert peek(reader, 1) == [b"\xff\x00\xfe"]


def test_every_host_has_its_turn(uplink: Uplink, reader: InboxReader, broker: BrokerAddress, host_id: str) -> None:
    """Ten thousand messages of one keep nobody else waiting."""
    others = [uuid4().hex for _ in range(3)]
    with broker.client() as centre:
        centre.lpush(inbox_key(host_id), *(f"{n}" for n in range(10_000)))
        for other in others:
            centre.lpush(inbox_key(other), "one")
    found = reader.peek(400)
    assert {letter.sender for letter in found} == {host_id, *others}
    assert len(found) == 103
    assert reader.trim()
    assert reader.length() == 9_900
    assert [letter.raw for letter in reader.peek(2)] == [b"100", b"101"]


def test_more_hosts_than_one_look_takes_come_one_after_the_other(reader: InboxReader, broker: BrokerAddress) -> None:
    hosts = {uuid4().hex for _ in range(30)}
    with broker.client() as centre:
        for each in hosts:
            centre.lpush(inbox_key(each), "one", "two")
    seen = []
    for _ in range(3):
        seen += [letter.sender for letter in reader.peek(10)]
    assert set(seen) == hosts


def test_what_is_no_list_of_a_host_is_left_alone(reader: InboxReader, broker: BrokerAddress) -> None:
    with broker.client() as centre:
        centre.lpush("fleet.inbox.nonsense", "x")
        centre.lpush("fleet.inboxes", "x")
        assert reader.peek(10) == []
        assert reader.length() == 0
        assert reader.sizes() == {}


def test_sizes_are_those_of_each_host(uplink: Uplink, reader: InboxReader, broker: BrokerAddress, host_id: str) -> None:
    uplink.send("x" * 500_000)
    with broker.client() as centre:
        centre.lpush(SHARED_INBOX, "x" * 1000)
    sizes = reader.sizes()
    assert 500_000 < sizes[host_id] < 700_000
    assert 1000 < sizes[""] < 3000
    reader.throw_away(host_id)
    assert set(reader.sizes()) == {""}


def test_where_the_centre_knows_one_list_alone_a_host_uses_that(
    uplink: Uplink, reader: InboxReader, broker: BrokerAddress, host_id: str
) -> None:
    """A centre of an earlier release lets it append nowhere else."""
    with broker.client() as centre:
        centre.execute_command("ACL SETUSER", acl_user(host_id), "clearselectors", f"(%W~{SHARED_INBOX} +lpush)")
        uplink.send("one")
        assert centre.llen(SHARED_INBOX) == 1
