"""The way down: signed messages into the queues of hosts, hundreds with one round trip."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from kombu.exceptions import KombuError
from redis.exceptions import AuthenticationError, RedisError

from fleet.errors import BrokerUnreachable, LoginRefused
from fleet.road import names
from fleet.road.app import centre_app, finish
from fleet.road.broker import BrokerAddress

BATCH = 500
"""Messages that go to the broker with one round trip."""


class Sender:
    """Puts signed messages into host queues. Best effort: what is lost is sent again from the rows in SQL."""

    def __init__(self, broker: BrokerAddress) -> None:
        """Prepare to send over *broker*; it connects when it first sends."""
        self._broker = broker
        self._app = finish(centre_app(broker))

    def send_many(self, messages: Sequence[tuple[str, str]]) -> None:
        """Send each signed message to the host (id in hex) beside it; raise BrokerUnreachable where delivery is
        uncertain.
        """
        if not messages:
            return
        with (
            broker_errors(self._broker),
            self._producer() as producer,
            producer.batch(BATCH),
        ):
            for host_id, sealed in messages:
                self._publish(producer, names.host_queue(host_id), sealed)

    def send(self, host_id: str, sealed: str) -> None:
        """Send one signed message to one host; raise BrokerUnreachable where delivery is uncertain."""
        self.send_many([(host_id, sealed)])

    def waiting(self, host_id: str) -> int:
        """Return how many messages wait in the host's queue; raise BrokerUnreachable."""
        with broker_errors(self._broker), self._broker.client() as client:
            return int(client.llen(names.host_queue(host_id)))

    def close(self) -> None:
        """Give the connections back."""
        self._app.close()

    def _producer(self) -> Any:
        return self._app.producer_pool.acquire(block=True)

    def _publish(self, producer: Any, queue: str, sealed: str) -> None:
        # The reprs are for events and logs, which are off: without them a message is a third smaller.
        task = self._app.amqp.as_task_v2(
            uuid4().hex, names.DELIVER, (sealed,), {}, argsrepr="", kwargsrepr="", origin="", ignore_result=True
        )
        producer.publish(
            task.body,
            exchange="",
            routing_key=queue,
            serializer="json",
            headers=task.headers,
            declare=[],
            **task.properties,
        )


@contextmanager
def broker_errors(broker: BrokerAddress) -> Iterator[None]:
    """Turn what the libraries raise for a broker that is away, full or forbids into BrokerUnreachable."""
    try:
        yield
    except AuthenticationError as e:
        raise LoginRefused(f"cannot log in to the broker at {broker} as {broker.username}: {_first_line(e)}") from e
    except (RedisError, KombuError, OSError) as e:
        raise BrokerUnreachable(f"cannot use the broker at {broker}: {type(e).__name__}: {_first_line(e)}") from e


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
