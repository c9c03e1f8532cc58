"""A host's worker and the centre's: what is in a queue is handed over, whatever dies, and never beside itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.road import names
from fleet.road.acl import AclKeeper, HostLogin, Sends, password_hash
from fleet.road.broker import BrokerAddress
from fleet.road.down import Sender
from fleet.road.embedded import EmbeddedBroker
from fleet.road.join import JoinFile
from fleet.road.keys import SigningKey
from tests import needs
from tests.road.conftest import PASSWORD

pytestmark = pytest.mark.redis
REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 150
"""Far more than anything takes, for machines that are busy."""


class Workers:
    """Processes over one broker, and what they wrote down."""

    def __init__(self, folder: Path, server: EmbeddedBroker, host_id: str) -> None:
        self.server, self.host_id, self.log = server, host_id, folder / "log"
        self.join = folder / "host.join"
        self.log.touch()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sender = Sender(server.address)
        JoinFile.make(
            host_id=host_id,
            host_name="x",
            broker=server.address,
            password=PASSWORD,
            centre_keys=(SigningKey.generate().public,),
        ).write(self.join)

    def start(self, kind: str = "host") -> subprocess.Popen[bytes]:
        """Start a worker."""
        where = str(self.join) if kind == "host" else self.server.address.url
        program = str(REPOSITORY / "tests" / "road" / "worker_process.py")
        with (self.log.parent / "errors").open("ab") as errors, self.out.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, program, kind, str(self.log), where],
                stdout=out,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        self.processes.append(process)
        return process

    @property
    def out(self) -> Path:
        """What workers write to stdout, where nobody looks for it."""
        return self.log.parent / "out"

    def lines(self) -> list[str]:
        """Return what was written down."""
        return self.log.read_text().splitlines()

    def count(self, line: str) -> int:
        """Return how often a line was written down."""
        return self.lines().count(line)

    def wait(self, until: Callable[[], object]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < deadline, [*self.lines(), (self.log.parent / "errors").read_text()[-3000:]]
            time.sleep(0.02)

    def send(self, *texts: str) -> None:
        """Put messages into the host's queue."""
        self.sender.send_many([(self.host_id, text) for text in texts])

    def let_go(self) -> None:
        """End the tasks that hold."""
        self.log.with_name("let-go").touch()

    def wait_for_quiet(self, last: str) -> None:
        """Wait until the message *last* is done with and the broker knows it of all."""
        self.wait(lambda: self.count(f"end {last}"))
        with self.server.address.client() as client:
            self.wait(lambda: not client.exists(names.unacked_key(self.host_id), names.host_queue(self.host_id)))

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.sender.close()


@pytest.fixture
def workers(short: Path, host_id: str) -> Iterator[Workers]:
    """Begin with a broker of its own that knows the host, and no worker."""
    with EmbeddedBroker(short / "b", server=needs.redis()) as server:
        let_in(server.address, host_id)
        workers = Workers(short, server, host_id)
        yield workers
        workers.close()


def let_in(broker: BrokerAddress, host_id: str) -> None:
    """Let the host log in."""
    keeper = AclKeeper(broker)
    keeper.apply([HostLogin(host_id=host_id, password_sha256=password_hash(PASSWORD))])
    keeper.close()


def restart(workers: Workers) -> None:
    """Kill the broker, start it again, and let the host in again."""
    os.kill(workers.server.pid, signal.SIGKILL)
    workers.wait(lambda: not workers.server.pid)
    workers.server.start()
    let_in(workers.server.address, workers.host_id)


def test_messages_are_handed_over_in_order_and_gone_even_where_one_fails(workers: Workers) -> None:
    workers.send("one", "fail", "two")
    workers.start()
    workers.wait(lambda: workers.count("end two"))
    begun = [line for line in workers.lines() if line.startswith("begin")]
    assert begun == ["begin one", "begin fail", "begin two"]
    with workers.server.address.client() as client:
        workers.wait(lambda: not client.exists(names.unacked_key(workers.host_id)))
        assert client.llen(names.host_queue(workers.host_id)) == 0


def test_it_holds_two_connections_and_says_nothing_that_it_may_not(workers: Workers) -> None:
    """No Lua, no key of another: what it may not say, it never tries to."""
    workers.start()
    workers.send("one")
    workers.wait(lambda: workers.count("end one") and workers.count("heard"))
    user = f"host-{workers.host_id}"
    with workers.server.address.client() as client:
        assert len([row for row in client.client_list() if row["user"] == user]) == 2
        told = client.info("commandstats")
        assert {name for name, row in told.items() if row.get("rejected_calls")} == set()
        assert not [name for name in told if "eval" in name or "script" in name]


def test_what_a_killed_worker_had_in_hand_comes_back_at_once_and_first(workers: Workers) -> None:
    killed = workers.start()
    workers.send("sleep:60", "two")
    workers.wait(lambda: workers.count("begin sleep:60"))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    workers.start()
    workers.wait(lambda: workers.count("ready") == 2)
    ready = time.monotonic()
    workers.wait(lambda: workers.count("begin sleep:60") == 2)
    assert time.monotonic() - ready < PATIENCE_S / 2
    assert "begin two" not in workers.lines()


def test_a_task_that_runs_while_the_broker_is_killed_is_run_once(workers: Workers) -> None:
    workers.start()
    workers.send("hold", "after")
    workers.wait(lambda: workers.count("holds"))
    time.sleep(1.2)  # the broker writes its file every second: now it knows what the worker has in hand
    restart(workers)
    workers.let_go()
    workers.wait(lambda: workers.count("end after"))
    begun = [line for line in workers.lines() if line.startswith("begin")]
    assert begun == ["begin hold", "begin after"]


def test_connections_that_break_are_made_anew_and_nothing_is_lost(workers: Workers) -> None:
    workers.start()
    workers.wait(lambda: workers.count("heard"))
    with workers.server.address.client() as client:
        for row in client.client_list():
            if row["user"] == f"host-{workers.host_id}":
                client.client_kill_filter(_id=row["id"])
    workers.send("one")
    workers.wait(lambda: workers.count("end one"))
    assert workers.count("begin one") == 1
    assert "DeprecationWarning" not in (workers.log.parent / "errors").read_text()


def test_a_broker_that_was_killed_is_found_again_with_what_waits_in_it(workers: Workers) -> None:
    workers.start()
    workers.wait(lambda: workers.count("ready"))
    restart(workers)
    workers.send("one")
    workers.wait(lambda: workers.count("end one"))
    assert workers.count("ready") >= 2


def test_sigterm_ends_it_well(workers: Workers) -> None:
    process = workers.start()
    workers.wait(lambda: workers.count("ready"))
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert workers.out.read_bytes() == b""  # what it has to say is in its log


def test_a_login_that_the_broker_does_not_know_yet_is_tried_until_it_does(workers: Workers) -> None:
    """After a restart of the broker users are gone until the centre has set them again."""
    keeper = AclKeeper(workers.server.address)
    keeper.drop([workers.host_id])
    keeper.close()
    workers.start()
    with workers.server.address.client() as client:
        workers.wait(lambda: client.acl_log())
    let_in(workers.server.address, workers.host_id)
    workers.send("one")
    workers.wait(lambda: workers.count("end one"))


def test_another_login_is_used_from_the_next_connection_on(workers: Workers) -> None:
    """The first password ceases to hold, and its connections are ended: the worker comes back by the second."""
    first, second = password_hash(PASSWORD), password_hash("own")
    keeper = AclKeeper(workers.server.address)
    keeper.apply([HostLogin(host_id=workers.host_id, password_sha256=first, next_sha256=second)])
    process = workers.start()
    workers.send("login:own")
    workers.wait(lambda: workers.count("end login:own"))
    keeper.apply([HostLogin(host_id=workers.host_id, password_sha256=second)], cut=True)
    keeper.close()
    workers.send("one")
    workers.wait(lambda: workers.count("end one"))
    assert (workers.count("begin login:own"), workers.count("begin one")) == (1, 1)
    assert process.poll() is None


def test_a_message_whose_acknowledgement_is_refused_is_neither_read_again_nor_the_last(workers: Workers) -> None:
    """The cut comes before the acknowledgement, which the channel then tries with the login that no longer holds."""
    second = password_hash("own")
    keeper = AclKeeper(workers.server.address)
    keeper.apply([HostLogin(host_id=workers.host_id, password_sha256=password_hash(PASSWORD), next_sha256=second)])
    process = workers.start()
    workers.send("login:own:hold")
    workers.wait(lambda: workers.count("holds"))
    keeper.apply([HostLogin(host_id=workers.host_id, password_sha256=second)], cut=True)
    keeper.close()
    workers.let_go()
    workers.wait(lambda: workers.count("end login:own:hold"))
    workers.send("one")
    workers.wait_for_quiet("one")
    assert (workers.count("begin login:own:hold"), workers.count("begin one")) == (1, 1)
    assert process.poll() is None


def test_a_message_that_ends_while_the_broker_is_away_is_neither_read_again_nor_the_last(workers: Workers) -> None:
    workers.start()
    workers.send("hold")
    workers.wait(lambda: workers.count("holds"))
    os.kill(
        workers.server.pid, signal.SIGTERM
    )  # it writes its file as it ends, so that it knows what is unacknowledged
    workers.wait(lambda: not workers.server.pid)
    workers.let_go()
    workers.wait(lambda: workers.count("end hold"))
    workers.server.start()
    let_in(workers.server.address, workers.host_id)
    workers.send("one")
    workers.wait_for_quiet("one")
    assert (workers.count("begin hold"), workers.count("begin one")) == (1, 1)


def test_who_may_let_no_key_grow_reads_on(workers: Workers) -> None:
    """It was shut out for what it kept at the broker; what it is told meanwhile it does."""
    login = HostLogin(host_id=workers.host_id, password_sha256=password_hash(PASSWORD), sends=Sends.NOWHERE)
    keeper = AclKeeper(workers.server.address)
    keeper.apply([login])
    keeper.close()
    process = workers.start()
    workers.send("one", "two")
    workers.wait_for_quiet("two")
    assert (workers.count("begin one"), workers.count("begin two")) == (1, 1)
    assert process.poll() is None


def test_a_right_that_is_missing_ends_it_with_a_reason(workers: Workers) -> None:
    with workers.server.address.client() as client:
        client.execute_command("ACL SETUSER", f"host-{workers.host_id}", "-brpop")
    assert workers.start().wait(PATIENCE_S) == 8
    assert workers.lines()[-1].startswith("ended BrokerUnreachable: cannot go on reading the queue")


def test_beats_are_heard_and_do_not_pile_up_where_nobody_listens(workers: Workers) -> None:
    workers.start("beat")
    with workers.server.address.client() as client:
        workers.wait(lambda: client.llen(names.TICK_QUEUE) >= 4)
        time.sleep(1.5)  # several beats, of which none may be added
        assert client.llen(names.TICK_QUEUE) <= 5
        workers.start("tick")
        workers.wait(lambda: workers.count("beat tick") > 6 and workers.count("beat probe") > 4)
        workers.wait(lambda: client.llen(names.TICK_QUEUE) <= 1)


def test_beats_that_cannot_be_sent_are_told_once_and_go_on_when_the_broker_is_back(workers: Workers) -> None:
    workers.start("beat")
    with workers.server.address.client() as client:
        workers.wait(lambda: client.llen(names.TICK_QUEUE))
    os.kill(workers.server.pid, signal.SIGTERM)
    workers.wait(lambda: not workers.server.pid)
    errors = workers.log.parent / "errors"
    workers.wait(lambda: "beats cannot be sent" in errors.read_text())
    time.sleep(1.5)  # several beats, of which none may be told of
    workers.server.start()
    with workers.server.address.client() as client:
        client.delete(names.TICK_QUEUE)  # what the broker kept in its file
        workers.wait(lambda: client.llen(names.TICK_QUEUE))
    said = errors.read_text()
    assert (said.count("beats cannot be sent"), "Traceback" in said) == (1, False), said
