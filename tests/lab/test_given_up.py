"""What the agent gives up, the engine gives up: nothing of it is left that a later pull would wait for."""

import sys

import pytest

from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Lab

pytestmark = [pytest.mark.timeout(600), pytest.mark.full]

GIVE_UP = """
import os, sys
from fleet.engine.docker import connect
from fleet.updates.stream import EnginePull
pull = EnginePull(connect(os.environ["DOCKER_HOST"]), sys.argv[1])
print(pull.ended(5))
pull.stop()
print(pull.ended(10))
"""


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_a_pull_by_the_engine_itself_ends_where_it_hangs(generation: Generation, lab: Lab, kind: str) -> None:
    """Engines wait without a limit for a registry that hangs, and a later pull of the same layer would wait with them.

    A classic store goes on to wait for a layer that nobody wants any more, which no client can change.
    """
    name = f"hung-{kind}-{generation.replace('.', '-')}"
    registry = lab.scriptable(f"{name}-registry")
    host = lab.host(name, generation, options={"insecure-registries": [registry.host]})
    digest = registry.push("org/app", "1", Recipe(version=f"given up {generation}"))
    image = f"{registry.host}/org/app@{digest}"
    registry.misbehave({"fault": "hang", "kind": kind})
    done = host.machine.run(sys.executable, "-c", GIVE_UP, image, timeout_s=60)
    registry.misbehave()
    assert done.stdout.split() == ["False", "True"]
    if generation.containerd_store or kind == "manifests":
        host.machine.run("docker", "pull", image, timeout_s=60)
