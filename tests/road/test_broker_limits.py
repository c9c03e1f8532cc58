"""What the compose file tells Redis about connections holds one that was taken over, and disturbs no other."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.road import names
from fleet.road.acl import AclKeeper, HostLogin, password_hash
from fleet.road.broker import BrokerAddress
from tests import needs
from tests.memory import memory

pytestmark = pytest.mark.redis

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
MEMORY = 64 * 1024 * 1024
"""Instead of the gigabyte, so that it is full sooner."""
HOST, PASSWORD = "a" * 32, "secret"


def told() -> list[str]:
    """Return the options of the compose file that are about limits."""
    service: Any = yaml.safe_load(COMPOSE.read_text())["services"]["broker"]
    return [word for word in service["command"] if "max" in word or "limit" in word]


@pytest.fixture(scope="module")
def limited() -> Iterator[BrokerAddress]:
    """Return a broker with these limits, that knows one host."""
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=memory()) as folder:
        path = f"{folder}/s"
        options = " ".join(told()).split()
        words = [needs.redis(), "--port", "0", "--unixsocket", path, "--save", "", *options, "--maxmemory", str(MEMORY)]
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not Path(path).exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            address = BrokerAddress(scheme="unix", path=path)
            keeper = AclKeeper(address)
            keeper.apply([HostLogin(host_id=HOST, password_sha256=password_hash(PASSWORD))])
            keeper.close()
            yield address
        finally:
            process.kill()
            process.wait()


def connected(broker: BrokerAddress) -> socket.socket:
    """Connect as the host, without a library that would wait for answers."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(broker.path)
    client.sendall(spoken(b"AUTH", names.acl_user(HOST).encode(), PASSWORD.encode()))
    assert client.recv(100) == b"+OK\r\n"
    return client


def spoken(*words: bytes) -> bytes:
    """Return a command as it is written to the server."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def honest(broker: BrokerAddress) -> None:
    """Let the centre and the host say something, and raise where the broker is full."""
    with broker.client() as centre:
        centre.set("x", "y" * 1_000_000)
        centre.delete("x")


def test_a_transaction_without_an_end_ends_its_connection(limited: BrokerAddress) -> None:
    with closing(connected(limited)) as evil:
        evil.sendall(spoken(b"MULTI"))
        with pytest.raises(ConnectionError):
            for _ in range(2 * MEMORY // 500_000):
                evil.sendall(spoken(b"LPUSH", names.inbox_key(HOST).encode(), b"x" * 500_000))
    honest(limited)


def test_a_value_of_any_size_is_refused_before_it_comes(limited: BrokerAddress) -> None:
    with closing(connected(limited)) as evil:
        evil.sendall(b"*3\r\n$5\r\nLPUSH\r\n$1\r\nx\r\n$400000000\r\n")
        assert evil.recv(100).startswith(b"-ERR Protocol error")
    honest(limited)
