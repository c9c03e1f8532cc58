"""What the road's tests share: a private broker for all of them, emptied for each."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from fleet.road.acl import AclKeeper, HostLogin, password_hash
from fleet.road.broker import BrokerAddress
from fleet.road.embedded import EmbeddedBroker
from fleet.road.names import acl_user
from fleet.testing.clock import ManualClock
from tests import needs
from tests.memory import memory

PASSWORD = "pass word:@/%"
"""What a URL must carry without breaking."""


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder with a short path, since a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=memory()) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def _server() -> Iterator[EmbeddedBroker]:
    with (
        tempfile.TemporaryDirectory(prefix="fleet-", dir=memory()) as folder,
        EmbeddedBroker(Path(folder) / "broker", server=needs.redis()) as server,
    ):
        yield server


@pytest.fixture
def broker(_server: EmbeddedBroker) -> BrokerAddress:
    """Return an empty broker, with a login that may do all."""
    with _server.address.client() as client:
        client.flushall()
    return _server.address


@pytest.fixture
def clock() -> ManualClock:
    """Stand still until told to go on."""
    return ManualClock()


@pytest.fixture
def host_id() -> str:
    """Return the id of a host that is new to the broker."""
    return uuid4().hex


@pytest.fixture
def host(broker: BrokerAddress, host_id: str) -> BrokerAddress:
    """Return the broker with the login of a host that the centre has let in."""
    keeper = AclKeeper(broker)
    keeper.apply([HostLogin(host_id=host_id, password_sha256=password_hash(PASSWORD))])
    keeper.close()
    return broker.with_login(acl_user(host_id), PASSWORD)
