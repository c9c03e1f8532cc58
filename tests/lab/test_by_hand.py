"""On real engines: what people, a full disk and a restart of the engine itself do in the middle of an update."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet
from docker.api.client import APIClient
from docker.errors import APIError

from fleet.engine.difference import config_diff
from fleet.errors import EngineUnreachable
from fleet.updates.outcome import Result
from tests import needs
from tests.contracts.beds import run
from tests.lab.engines import Generation
from tests.lab.lab import Host, Lab
from tests.lab.one_update import OneUpdate

pytestmark = [
    pytest.mark.timeout(600),
    # The docker library leaves the sockets of an engine that went away to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SMALL_DISK = "160m"
HostOf = Callable[[str], Host]


def often(generation: Generation) -> list[ParameterSet]:
    """Return every engine, all but one of them left to the long matrix."""
    return [
        pytest.param(each, id=str(each), marks=() if each is generation else pytest.mark.full) for each in Generation
    ]


def rarely(*calls: str) -> list[ParameterSet]:
    """Return what is left to the long matrix."""
    return [pytest.param(call, marks=pytest.mark.full) for call in calls]


@contextmanager
def storm(host: Host) -> Iterator[None]:
    """``docker restart -t 0 web`` again and again."""
    over = threading.Event()

    def restart() -> None:
        api: Any = APIClient(base_url=host.engine_url, version="auto")
        while not over.is_set():
            with suppress(APIError):
                api.restart("web", timeout=0)
        api.close()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def on(host_of: HostOf, tmp_path: Path) -> Iterator[Callable[..., OneUpdate]]:
    """Give a container and its update on an engine of a generation, removed afterwards."""
    made: list[OneUpdate] = []

    def one(generation: Generation, *arguments: str, good: bool = True, host: Host | None = None) -> OneUpdate:
        generation.need()
        made.append(OneUpdate(host or host_of(generation), tmp_path, *arguments, good=good))
        return made[-1]

    yield one
    for each in made:
        each.close()
    gc.collect()


@pytest.mark.parametrize("generation", often(Generation.V29))
def test_a_storm_of_restarts_calls_nobody(generation: Generation, on: Callable[..., OneUpdate]) -> None:
    one = on(generation)
    with storm(one.host):
        outcome = one.update({})
    assert outcome.result is not Result.ROLLBACK_FAILED, outcome.reason
    web = one.look()
    assert web["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert web["Image"] == (one.new_image if outcome.result is Result.UPDATED else one.before["Image"])
    assert len(one.bed.engine.container_ids(all=True)) == 1


@pytest.mark.parametrize("generation", often(Generation.V20))
def test_a_name_that_was_taken_is_given_back_and_what_it_named_ran_meanwhile(
    generation: Generation, on: Callable[..., OneUpdate]
) -> None:
    one = on(generation)
    taken: list[str] = []
    outcome = one.update(
        {"rename rename": lambda: taken.append(one.api.create_container("app:1", ["sleep", "9"], name="web")["Id"])}
    )
    assert outcome.result is Result.ROLLBACK_FAILED
    old = one.look(one.before["Id"])
    assert old["State"]["Running"]
    assert old["HostConfig"]["RestartPolicy"]["Name"] == "always"
    one.api.remove_container(taken[0])
    assert one.next_start() == [outcome]
    assert one.look()["Id"] == one.before["Id"]


@pytest.mark.parametrize("generation", often(Generation.V29))
def test_what_was_changed_by_hand_stays_changed(generation: Generation, on: Callable[..., OneUpdate]) -> None:
    one = on(generation)
    outcome = one.update({"create": lambda: one.host.docker("update", "--cpu-shares", "512", "web")})
    assert outcome.result is Result.SKIPPED
    assert one.look()["HostConfig"]["CpuShares"] == 512
    assert one.look()["State"]["StartedAt"] == one.before["State"]["StartedAt"]


@pytest.mark.parametrize("generation", often(Generation.V20))
def test_one_that_is_paused_is_not_good(generation: Generation, on: Callable[..., OneUpdate]) -> None:
    one = on(generation)
    unpause = threading.Timer(3.0, lambda: one.host.docker("unpause", "web"))

    def pause() -> None:
        one.host.docker("pause", "web")
        unpause.start()

    outcome = one.update({"start inspect": pause})
    unpause.join()
    assert outcome.result is Result.UPDATED
    assert outcome.phases.verify_ms is not None
    assert outcome.phases.verify_ms >= 3_000
    assert one.look()["State"]["Status"] == "running"


@pytest.mark.parametrize("generation", often(Generation.V29))
@pytest.mark.parametrize("good", [True, False])
def test_addresses_on_the_wire_stay_those_that_were_chosen(
    good: bool, generation: Generation, on: Callable[..., OneUpdate], host_of: HostOf
) -> None:
    """In a network whose containers stand on the wire themselves, where others know them by these addresses."""
    generation.need()
    host, chosen = host_of(generation), ("--ip", "10.91.0.77", "--mac-address", "02:11:22:33:44:55")
    if host.machine.run("ip", "link", "add", "wire", "link", "eth0", "type", "macvlan", check=False).returncode:
        needs.missing("macvlan", "a kernel with CONFIG_MACVLAN")
    host.machine.run("ip", "link", "del", "wire")
    host.docker("network", "create", "-d", "macvlan", "--subnet", "10.91.0.0/24", "-o", "parent=eth0", "wire")
    old_client = generation is Generation.V20  # a client of 26 gives an engine of 20.10 no MAC address
    one = on(generation, "--net", "wire", *(chosen[:2] if old_client else chosen), good=good)
    outcome = one.update({})
    assert outcome.result is (Result.UPDATED if good else Result.ROLLED_BACK), outcome.reason
    before, now = (shown["NetworkSettings"]["Networks"]["wire"] for shown in (one.before, one.look()))
    assert (now["IPAddress"], now["MacAddress"]) == ("10.91.0.77", before["MacAddress"])


@pytest.mark.parametrize("generation", often(Generation.V20))
@pytest.mark.parametrize("call", ["start inspect", *rarely("create", "stop", "start", "remove")])
def test_live_restore_keeps_the_others_running_while_the_engine_comes_back(
    call: str, generation: Generation, lab: Lab, on: Callable[..., OneUpdate]
) -> None:
    generation.need()
    name = f"live-{generation.value.replace('.', '-')}"
    host = lab.hosts.get(name) or lab.host(name, generation, options={"live-restore": True})
    one = on(generation, host=host)
    other = run(one.bed, "other", "app:1", HostConfig={"RestartPolicy": {"Name": "always"}})

    def upgrade() -> None:
        host.kill()
        host.start()

    try:
        outcome = one.update({call: upgrade})
    except EngineUnreachable:
        host.ready()
        (outcome,) = one.next_start()
    host.ready()
    assert one.look("other")["State"]["Pid"] == other["State"]["Pid"]
    assert outcome.result in (Result.UPDATED, Result.ROLLED_BACK, Result.FAILED), outcome.reason
    if call == "start inspect":
        assert outcome.result is Result.UPDATED, outcome.reason
    web = one.look()
    assert web["State"]["Running"]
    assert web["Image"] == (one.new_image if outcome.result is Result.UPDATED else one.before["Image"])
    assert len(one.bed.engine.container_ids(all=True)) == 2


@pytest.mark.parametrize("generation", often(Generation.V29))
@pytest.mark.parametrize("call", ["remove rename", *rarely("create", "stop")])
def test_an_engine_whose_disk_is_full_runs_the_old_one_once_it_has_room(
    call: str, generation: Generation, lab: Lab, on: Callable[..., OneUpdate]
) -> None:
    generation.need()
    one = on(generation, good=False, host=on_small_disk(lab, generation))
    filler = one.host.machine.root / str(one.host.machine.folder / "data/filler").lstrip("/")
    outcome = one.update({call: lambda: fill(filler)})
    if call == "create":
        assert one.look()["State"]["StartedAt"] == one.before["State"]["StartedAt"]
    filler.unlink()
    assert one.next_start() == [outcome]
    assert config_diff(one.before, one.look()) == ()
    assert one.look()["State"]["Running"]
    assert len(one.bed.engine.container_ids(all=True)) == 1


def on_small_disk(lab: Lab, generation: Generation) -> Host:
    """Return a host whose engine keeps all that it has on a disk of its own that is soon full."""
    name = f"small-{generation.value.replace('.', '-')}"
    if name in lab.hosts:
        return lab.hosts[name]
    host = Host(lab.machine(name), generation)
    host.configure({})
    host.machine.run("mkdir", host.machine.folder / "data")
    host.machine.run("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "small", host.machine.folder / "data")
    host.start()
    host.ready()
    lab.hosts[name] = host
    return host


def fill(file: Path) -> None:
    """Leave no room."""
    for piece in (1 << 20, 1 << 12):
        with suppress(OSError), file.open("ab", buffering=0) as filler:
            while filler.write(bytes(piece)) == piece:
                pass
