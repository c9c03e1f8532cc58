"""What an engine that is restarted does with containers: the traps that a recreate must not fall into."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fleet.engine.protocol import CreateSpec
from tests import needs
from tests.contracts.beds import Bed, MemoryBed, eventually, real_bed, run
from tests.contracts.conftest import marked
from tests.lab.engines import Generation

Restart = Callable[[], None]
ENGINES = ["memory", *(marked(generation) for generation in Generation)]
DATA: dict[str, Any] = {"/data": {}}


@contextmanager
def lab_bed(generation: Generation) -> Iterator[tuple[Bed, Restart]]:
    """Give a real engine of its own, and how it is restarted."""
    needs.lab()
    generation.need()
    from tests.lab.lab import Lab

    with Lab() as lab:
        host = lab.host("restarted", generation)
        with real_bed(host.engine_url) as bed:
            yield bed, host.restart


@pytest.fixture(params=ENGINES)
def restartable(request: pytest.FixtureRequest) -> Iterator[tuple[Bed, Restart]]:
    """Give each engine in turn, and how it is restarted."""
    if request.param == "memory":
        memory = MemoryBed("1.45")
        yield memory, memory.memory.restart
        return
    with lab_bed(Generation(request.param)) as both:
        yield both


def policy(name: str) -> dict[str, Any]:
    """Return a create body with that restart policy."""
    return {"HostConfig": {"RestartPolicy": {"Name": name}}}


def test_who_runs_after_a_restart_is_up_to_the_policy(restartable: tuple[Bed, Restart]) -> None:
    """``always`` starts what a person had stopped, but not what was only created; ``--rm`` containers go."""
    bed, restart = restartable
    bed.image("app:1", Volumes=DATA)
    for name in ("always", "unless-stopped", "no"):
        run(bed, f"runs-{name}", "app:1", **policy(name))
        stopped = run(bed, f"stopped-{name}", "app:1", **policy(name))
        bed.engine.stop(stopped["Id"])
        bed.engine.create(CreateSpec(name=f"created-{name}", body={"Image": "app:1", **policy(name)}))
    released = run(bed, "released", "app:1", **policy("always"))
    bed.engine.set_restart_policy(released["Id"], {"Name": "no", "MaximumRetryCount": 0})
    bed.engine.stop(released["Id"])
    rm = {"HostConfig": {"AutoRemove": True}}
    run(bed, "rm-runs", "app:1", **rm)
    bed.engine.create(CreateSpec(name="rm-created", body={"Image": "app:1", **rm}))

    restart()

    def running() -> set[str]:
        found = (bed.engine.inspect(container) for container in bed.engine.container_ids())
        return {one["Name"].lstrip("/") for one in found if one}

    expected = {"runs-always", "stopped-always", "runs-unless-stopped"}
    eventually(bed, f"{expected} to run", lambda: running() >= expected)
    eventually(bed, "the removal of rm-runs", lambda: bed.engine.inspect("rm-runs") is None)
    bed.clock.sleep(1)
    assert running() == expected
    assert bed.engine.inspect("rm-created") is None
    assert bed.engine.inspect("created-always") is not None
