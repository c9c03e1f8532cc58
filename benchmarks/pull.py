"""An image pulled through the gateway, beside the same engine's own direct pull of it: fast link, and slow link.

The slow link is a rate that the registry keeps to on each connection, and an image whose bytes are one large layer:
what overlaps then can only be the gateway's own work. Needs root and the lab.
"""

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker

from benchmarks._sides import in_turn, show, show_run
from fleet.errors import FleetError
from fleet.images.digest import Digest
from tests.lab.engines import Generation
from tests.lab.images import Recipe, build
from tests.lab.lab import Host, Lab
from tests.lab.registries import Registry
from tests.updates import pull_on_host

FAST_ROUNDS, SLOW_ROUNDS = 7, 4
FAST_LAYERS_MIB = (32.0, 32.0, 32.0, 32.0)
SLOW_LAYER_MIB = 128.0
SLOW_BYTES_S = 25_000_000
_NUMBERS = itertools.count()


def main() -> None:
    """Pull on each engine over each link, and print the times."""
    show_run("pull: through the gateway, beside the engine's own")
    with Lab() as lab:
        origin, slow = lab.origin(), lab.scriptable("slow")
        fast_digest = origin.push("library/fast", "1", build(Recipe(version="fast", layers_mib=FAST_LAYERS_MIB)))
        slow_digest = slow.push("team/slow", "1", build(Recipe(version="slow", layers_mib=(SLOW_LAYER_MIB,))))
        slow.misbehave({"fault": "slow", "kind": "blobs", "method": "GET", "rate": SLOW_BYTES_S})
        for generation in (Generation.V20, Generation.V26_CONTAINERD):
            name = f"host-{generation.replace('.', '-')}"
            host = lab.host(name, generation, options={"insecure-registries": [slow.host]})
            fast = f"engine {generation}, fast link, 4 layers of 32 MiB"
            _compare(fast, host, origin, "fast:1", fast_digest, FAST_ROUNDS)
            one = f"engine {generation}, {SLOW_BYTES_S // 1_000_000} MB/s a connection, 1 layer of 128 MiB"
            _compare(one, host, slow, f"{slow.host}/team/slow:1", slow_digest, SLOW_ROUNDS, insecure=slow.host)


def _compare(
    what: str, host: Host, registry: Registry, reference: str, digest: Digest, rounds: int, insecure: str = ""
) -> None:
    with contextlib.closing(docker.DockerClient(base_url=host.engine_url, timeout=300)) as client:

        def whole(pull: Callable[[], float]) -> float:
            """Pull what the engine has not; make sure that every byte came over the link."""
            before = registry.bytes_to(host.address)
            took = pull()
            sent = registry.bytes_to(host.address) - before
            if sent < 0.99 * SLOW_LAYER_MIB * 1024 * 1024:
                raise FleetError(f"cannot compare: the registry sent {sent} bytes alone")
            client.images.remove(reference, force=True)
            return took

        def direct() -> float:
            name, _, tag = reference.rpartition(":")
            began = time.perf_counter()
            for line in client.api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in line:
                    raise FleetError(f"cannot pull: {line['error']}")
            return time.perf_counter() - began

        def through_gateway() -> float:
            asked = {
                "state": str(host.machine.folder / f"agent{next(_NUMBERS)}"),
                "reference": reference,
                "digest": str(digest),
                "insecure": [insecure] if insecure else [],
            }
            script = Path(pull_on_host.__file__)
            done = host.machine.run(sys.executable, script, json.dumps(asked), timeout_s=300)
            outcome = json.loads(done.stdout.splitlines()[-1])["outcome"]
            if not outcome["ok"] or outcome["tier"] != "loopback":
                raise FleetError(f"cannot compare: {outcome}")
            return float(outcome["duration_ms"]) / 1000

        sides = {"the engine's own": lambda: whole(direct), "through the gateway": lambda: whole(through_gateway)}
        show(what, "s", in_turn(sides, rounds))


if __name__ == "__main__":
    main()
