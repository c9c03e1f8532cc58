"""The single-consumer transport: what a dead worker had in hand is put back once, what a live one has never is."""

from collections.abc import Iterator
from typing import Any

import pytest

from fleet.road import names, transport
from fleet.road.app import centre_app, finish, host_app
from fleet.road.broker import BrokerAddress
from fleet.road.down import Sender

pytestmark = pytest.mark.redis


class Consumer:
    """A connection as the worker's, over which the test takes messages one by one."""

    def __init__(self, broker: BrokerAddress, host_id: str) -> None:
        self._broker, self._queue = broker, names.host_queue(host_id)
        self._app = host_app(broker, host_id)
        self._connection = self._app.connection_for_read()
        self.channel: Any = self._connection.channel()
        self._unacked = names.unacked_key(host_id)

    def take(self) -> Any:
        """Take the next message, without acknowledging it."""
        return self.channel.basic_get(self._queue)

    def waiting(self) -> int:
        """Return how many messages wait."""
        with self._broker.client() as client:
            return int(client.llen(self._queue))

    def unacked(self) -> int:
        """Return how many messages are in somebody's hand."""
        with self._broker.client() as client:
            return int(client.hlen(self._unacked))

    def consume(self) -> None:
        """Begin to read, as after every loss of the connection."""
        self.channel.basic_consume(self._queue, no_ack=False, callback=lambda message: None, consumer_tag="tag")

    def close(self) -> None:
        """End."""
        self._connection.release()
        self._app.close()


@pytest.fixture
def consumer(broker: BrokerAddress, host_id: str) -> Iterator[Consumer]:
    """Begin with two messages in the queue."""
    sender = Sender(broker)
    sender.send_many([(host_id, "one"), (host_id, "two")])
    sender.close()
    transport._in_hand.clear()
    consumer = Consumer(broker, host_id)
    yield consumer
    consumer.close()


def test_what_this_process_has_in_hand_is_not_put_back_when_it_reads_anew(consumer: Consumer) -> None:
    consumer.take()
    consumer.consume()
    assert (consumer.waiting(), consumer.unacked()) == (1, 1)


def test_what_a_dead_process_had_in_hand_is_put_back_in_its_order(consumer: Consumer) -> None:
    first, second = consumer.take(), consumer.take()
    transport._in_hand.clear()
    consumer.consume()
    assert (consumer.waiting(), consumer.unacked()) == (2, 0)
    assert [consumer.take().body, consumer.take().body] == [first.body, second.body]


def test_what_is_done_with_is_not_put_back(consumer: Consumer) -> None:
    message = consumer.take()
    consumer.channel.basic_ack(message.delivery_tag)
    assert not transport._in_hand | transport._untold, "it is remembered for ever"
    consumer.consume()
    assert (consumer.waiting(), consumer.unacked()) == (1, 0)


def test_what_is_put_back_by_its_task_waits_again(consumer: Consumer) -> None:
    message = consumer.take()
    consumer.channel.basic_reject(message.delivery_tag, requeue=True)
    assert (consumer.waiting(), consumer.unacked()) == (2, 0)


def test_nothing_ever_times_out(consumer: Consumer) -> None:
    consumer.take()
    consumer.channel.qos.restore_visible()
    consumer.channel.qos.restore_unacked()
    assert (consumer.waiting(), consumer.unacked()) == (1, 1)


def test_what_was_put_back_says_so(consumer: Consumer) -> None:
    consumer.take()
    transport._in_hand.clear()
    consumer.consume()
    assert consumer.take().headers["redelivered"] is True


def test_every_beginning_to_read_is_told(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(transport, "begins_to_read", [lambda: told.append("reading")])
    consumer.consume()
    assert told == ["reading"]


def test_a_beat_of_which_the_broker_cannot_be_told_is_not_the_last(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kombu counts it as in hand for ever: then the planner reads no more, and never sees that the broker is back."""
    app = finish(centre_app(broker))
    with app.connection_for_read() as connection:
        channel: Any = connection.channel()
        channel.basic_qos(0, 1, False)
        with app.producer_pool.acquire() as producer:
            producer.publish({}, routing_key=names.TICK_QUEUE, exchange="")
        message = channel.basic_get(names.TICK_QUEUE)
        assert not channel.qos.can_consume()

        def away(*_: object) -> None:
            raise channel.connection_errors[0]("the broker is away")

        monkeypatch.setattr(channel.qos, "_remove_from_indices", away)
        channel.basic_ack(message.delivery_tag)
        assert channel.qos.can_consume()
    app.close()


def test_a_beat_that_is_done_with_is_gone_from_the_broker(broker: BrokerAddress) -> None:
    app = finish(centre_app(broker))
    with app.connection_for_read() as connection:
        channel: Any = connection.channel()
        with app.producer_pool.acquire() as producer:
            producer.publish({}, routing_key=names.TICK_QUEUE, exchange="")
        message = channel.basic_get(names.TICK_QUEUE)
        with broker.client() as client:
            assert client.hlen(channel.unacked_key) == client.zcard(channel.unacked_index_key) == 1
            channel.basic_ack(message.delivery_tag)
            assert client.hlen(channel.unacked_key) == client.zcard(channel.unacked_index_key) == 0
    app.close()
