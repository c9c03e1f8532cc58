"""The way down: many messages with few round trips, each in the queue of its own host and no other."""

import base64
import json
from typing import Any
from uuid import uuid4

import pytest

from fleet.errors import BadInput
from fleet.road import names
from fleet.road.broker import BrokerAddress
from fleet.road.down import BATCH, Sender

pytestmark = pytest.mark.redis


def waiting(broker: BrokerAddress, host_id: str) -> list[str]:
    """Return the signed messages in the queue of a host, the next to be read first."""
    with broker.client() as client:
        raw = client.lrange(names.host_queue(host_id), 0, -1)
    return [_sealed(json.loads(each)) for each in reversed(raw)]


def _sealed(message: dict[str, Any]) -> str:
    assert message["headers"]["task"] == names.DELIVER
    ((sealed,), kwargs, embedded) = json.loads(base64.b64decode(message["body"]))
    assert kwargs == {}
    assert not [value for value in embedded.values() if value]
    return str(sealed)


def test_each_message_goes_to_its_own_host_in_order(broker: BrokerAddress) -> None:
    one, two = uuid4().hex, uuid4().hex
    sender = Sender(broker)
    sender.send_many([(one, "a"), (two, "b"), (one, "c")])
    assert (waiting(broker, one), waiting(broker, two)) == (["a", "c"], ["b"])
    assert (sender.waiting(one), sender.waiting(two), sender.waiting("0" * 32)) == (2, 1, 0)
    sender.close()


def test_more_than_a_batch_goes_at_once(broker: BrokerAddress) -> None:
    hosts = [uuid4().hex for _ in range(2 * BATCH + 7)]
    sender = Sender(broker)
    with broker.client() as client:
        before = int(client.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))
        sender.send_many([(host, "x") for host in hosts])
        assert int(client.info("commandstats")["cmdstat_lpush"]["calls"]) - before == len(hosts)
    assert all(waiting(broker, host) == ["x"] for host in hosts[::100])
    sender.close()


def test_nothing_to_send_needs_no_broker() -> None:
    sender = Sender(BrokerAddress(scheme="unix", path="/nowhere"))
    sender.send_many([])
    sender.close()


def test_nothing_but_the_queues_is_written(broker: BrokerAddress) -> None:
    """No bindings, no default queue: a host has no right to see them, and nobody reads them."""
    host = uuid4().hex
    sender = Sender(broker)
    sender.send(host, "x")
    with broker.client() as client:
        assert client.keys("*") == [names.host_queue(host).encode()]
    sender.close()


def test_a_name_that_is_no_id_is_refused(broker: BrokerAddress) -> None:
    sender = Sender(broker)
    with pytest.raises(BadInput):
        sender.send("berlin-1", "x")
    sender.close()
