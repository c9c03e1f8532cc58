"""What is told of a daemon's mirrors is what the real daemon does with its file: unread, read, forgotten, refused."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleet.errors import FleetError
from tests.lab.engines import Generation
from tests.lab.lab import Host
from tests.lab.machines import eventually

pytestmark = [pytest.mark.timeout(600), pytest.mark.full]

MIRROR = "https://mirror.lan"
LOOK = """
import json, os
from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.mirrors.daemon_flags import FlagFinder
from fleet.mirrors.sources import read_host_mirrors
url = os.environ["DOCKER_HOST"]
found = read_host_mirrors(connect(url).facts(), find_flags=FlagFinder(url, clock=SystemClock()))
print(json.dumps({"rules": [[r.provenance, str(r.endpoint)] for r in found.rules], "problems": found.problems}))
"""


@pytest.fixture
def reconfigured(generation: Generation, host_of: Callable[[str], Host]) -> Iterator[Host]:
    """Give a host whose daemon.json the test may change; afterwards it is as it was."""
    host = host_of(generation)
    yield host
    host.configure({})
    host.restart()


def look(host: Host) -> Any:
    """Return what an agent on *host* reads."""
    return json.loads(host.machine.run(sys.executable, "-c", LOOK).stdout)


def codes(host: Host) -> list[str]:
    """Return the codes of what it finds wrong."""
    return [problem.partition(":")[0] for problem in look(host)["problems"]]


def test_a_file_that_the_daemon_has_not_read_has_read_and_does_not_forget(reconfigured: Host) -> None:
    host = reconfigured
    assert look(host) == {"rules": [], "problems": []}
    host.configure({"registry-mirrors": [MIRROR], "insecure-registries": ["old.lan:5000"]})
    assert codes(host) == ["daemon-mirrors-pending", "daemon-insecure-pending"]
    host.reload()
    eventually("the reloaded daemon", lambda: not codes(host))
    assert look(host)["rules"] == [["daemon-file", MIRROR]]
    host.configure({})
    host.reload()
    # A reload without the key keeps the mirrors: nobody would know why it still asks there.
    eventually("what nobody names any more", lambda: "daemon-mirrors-pending" in codes(host))
    assert look(host)["rules"] == [["daemon", MIRROR]]
    host.configure({"registry-mirrors": []})
    host.reload()
    eventually("no mirrors", lambda: look(host) == {"rules": [], "problems": []})


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ('{"registry-mirrors": ["https://mirror.lan"],}', "daemon-json-broken"),
        ('{"registry-mirrors": "https://mirror.lan"}', "daemon-json-broken"),
        ('{"registries": {"docker.io": ["https://mirror.lan"]}}', "daemon-registries-key"),
        ('{"registry-mirrors": ["https://mirror.lan?a=b"]}', "daemon-mirror-unusable"),
        ('{"insecure-registries": ["svn://a"]}', "daemon-insecure-unusable"),
    ],
)
def test_what_is_told_to_keep_a_daemon_from_starting_does(reconfigured: Host, written: str, code: str) -> None:
    """The real daemon is started with it: of some of these its own --validate says nothing."""
    host = reconfigured
    host.machine.write("/etc/docker/daemon.json", written)
    assert code in codes(host)
    host.stop()
    host.start()
    with pytest.raises(FleetError, match="cannot start engine"):
        host.ready()
