"""The way up: what hosts appended is looked at, then taken away, and never taken away unseen."""

from collections.abc import Iterator

import pytest

from fleet.road.broker import BrokerAddress
from fleet.road.messages import MAX_MESSAGE_BYTES
from fleet.road.up import PEEK_BYTES, InboxReader, Uplink

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


def test_the_oldest_message_comes_first(uplink: Uplink, reader: InboxReader) -> None:
    for text in ("one", "two", "three"):
        uplink.send(text)
    assert reader.peek(2) == [b"one", b"two"]


def test_looking_takes_nothing_away(uplink: Uplink, reader: InboxReader) -> None:
    uplink.send("one")
    assert reader.peek(10) == reader.peek(10) == [b"one"]
    assert reader.length() == 1


def test_trimming_takes_away_what_was_seen_and_no_later_one(uplink: Uplink, reader: InboxReader) -> None:
    uplink.send("one")
    uplink.send("two")
    seen = reader.peek(10)
    uplink.send("three")
    assert reader.trim(len(seen))
    assert reader.peek(10) == [b"three"]


def test_an_empty_inbox_is_no_trouble(reader: InboxReader) -> None:
    assert reader.peek(10) == []
    assert reader.trim(0)


def test_a_list_that_changed_underneath_is_not_trimmed(
    uplink: Uplink, reader: InboxReader, broker: BrokerAddress
) -> None:
    """Another inbox trimmed it, or the broker was flushed: the next look takes what is there now."""
    for text in ("one", "two", "three"):
        uplink.send(text)
    reader.peek(2)
    other = InboxReader(broker)
    other.trim(len(other.peek(1)))
    assert not reader.trim(2)
    assert reader.peek(10) == [b"two", b"three"]
    with broker.client() as centre:
        centre.flushall()
    assert not reader.trim(2)
    other.close()


def test_a_message_over_the_limit_comes_empty_and_goes_as_any_other(uplink: Uplink, reader: InboxReader) -> None:
    uplink.send("x" * (MAX_MESSAGE_BYTES + 1))
    uplink.send("two")
    assert reader.peek(10) == [b"", b"two"]
    assert reader.trim(2)
    assert reader.length() == 0


def test_one_look_takes_no_more_than_its_share_of_memory(uplink: Uplink, reader: InboxReader) -> None:
    size = MAX_MESSAGE_BYTES
    for _ in range(PEEK_BYTES // size + 3):
        uplink.send("x" * size)
    assert len(reader.peek(100)) == PEEK_BYTES // size


def test_garbage_is_handed_over_as_it_is(uplink: Uplink, reader: InboxReader, broker: BrokerAddress) -> None:
    with broker.client() as centre:
        centre.lpush("fleet.inbox", b"\xff\x00\xfe")
    assert reader.peek(1) == [b"\xff\x00\xfe"]
