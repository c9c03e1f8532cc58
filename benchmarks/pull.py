"""An image pulled through the gateway, beside the same engine's own direct pull of it: one large layer, unlimited and over
a link that gives so much a connection. Then ten images that share layers, counted, a worker's memory in a large pull, and what a
byte costs in the gateway.

What overlaps in a single layer can only be the gateway's own work. The layer is one of program files, as images have, and one of
few files, that engines unpack four times as fast. Needs root and the lab (``memory`` and ``reading`` do not). Words choose
parts: ``unlimited`` and ``limited`` are links, ``programs`` and ``few`` layers, ``shared``, ``memory`` and ``reading`` the others;
``20.10`` and ``26.1-containerd`` choose engines; ``rounds=2`` how often, and ``mib=16`` how large a layer is, to see that it runs.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import docker

from benchmarks import _pull_memory, _pull_reading
from benchmarks._pull_image import LAYER_MIB, LargeImage, of_few_files, of_programs
from benchmarks._sides import in_turn, show, show_run
from fleet.errors import FleetError
from fleet.images.digest import Digest
from tests.lab import pulls_on_host
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.registries import Registry, ScriptableRegistry

ROUNDS = 3
LIMIT_BYTES_S = 25_000_000
LINKS = ("unlimited", "limited")
LAYERS = {"programs": of_programs, "few": of_few_files}
PULLED, ALONE = {*LINKS, *LAYERS, "shared"}, {"memory", "reading"}
"""The words of what needs engines, and of what does not."""
IMAGES, SHARED_LAYERS_MIB, OWN_LAYER_MIB = 10, (4.0, 3.0, 2.0), 1.0
ENGINES = (Generation.V20, Generation.V26_CONTAINERD)
_NUMBERS = itertools.count()
Word = TypeVar("Word", bound=str)


def main() -> None:
    """Measure the parts that were asked for, all by default, and print them."""
    words = {word for word in sys.argv[1:] if "=" not in word}
    numbers = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    rounds, layer_mib = int(numbers.get("rounds", ROUNDS)), int(numbers["mib"]) if "mib" in numbers else None
    parts = words & (PULLED | ALONE) or PULLED | ALONE
    show_run("pull: through the gateway, beside the engine's own")
    if parts & PULLED:
        with Lab() as lab:
            _pulls(lab, _chosen(ENGINES, words), parts, rounds, layer_mib or LAYER_MIB)
    if "memory" in parts:
        _pull_memory.main(layer_mib or _pull_memory.LAYER_MIB)
    if "reading" in parts:
        _pull_reading.main(rounds, layer_mib or _pull_reading.LAYER_MIB)


def _chosen(choice: Iterable[Word], words: Collection[str]) -> list[Word]:
    """Return those of *choice* that *words* name, all where they name none."""
    return [each for each in choice if each in words] or list(choice)


def _pulls(lab: Lab, engines: Sequence[Generation], parts: Collection[str], rounds: int, layer_mib: int) -> None:
    origin, slow = lab.origin(), lab.scriptable("slow")
    links, layers = _chosen(LINKS, parts), _chosen(LAYERS, parts)
    images = {layer: LAYERS[layer](layer_mib) for layer in layers} if {*LINKS, *LAYERS} & set(parts) else {}
    for generation in engines:
        host = lab.host(
            f"host-{generation.replace('.', '-')}", generation, options={"insecure-registries": [slow.host]}
        )
        for layer, image in images.items():
            if "unlimited" in links:
                _unlimited(host, origin, layer, image, rounds)
            if "limited" in links:
                _limited(host, slow, layer, image, rounds)
        if "shared" in parts:
            _shared(host, origin)


def _unlimited(host: Host, origin: Registry, name: str, image: LargeImage, rounds: int) -> None:
    what = f"engine {host.generation}, unlimited, {image}"
    _compare(what, host, origin, f"library/{name}", image, f"{name}:1", rounds)


def _limited(host: Host, slow: ScriptableRegistry, name: str, image: LargeImage, rounds: int) -> None:
    what = f"engine {host.generation}, {LIMIT_BYTES_S // 1_000_000} MB/s a connection, {image}"
    slow.push(f"team/{name}", "1", image.built)
    slow.misbehave({"fault": "slow", "kind": "blobs", "method": "GET", "rate": LIMIT_BYTES_S})
    _compare(what, host, slow, f"team/{name}", image, f"{slow.host}/team/{name}:1", rounds)
    slow.misbehave()


def _compare(
    what: str, host: Host, registry: Registry, repository: str, image: LargeImage, reference: str, rounds: int
) -> None:
    digest = registry.push(repository, "1", image.built)
    with contextlib.closing(docker.DockerClient(base_url=host.engine_url, timeout=600)) as client, _agent(host) as pull:

        def whole(act: Callable[[], float]) -> float:
            """Pull what the engine has not; make sure that every byte came over the link."""
            before = registry.bytes_to(host.address)
            took = act()
            sent = registry.bytes_to(host.address) - before
            if not 0.99 < sent / sum(map(len, image.built.blobs.values())) < 1.01:
                raise FleetError(f"cannot compare: the registry sent {sent} bytes")
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
            return _seconds(pull(reference, digest, registry))

        sides = {"the engine's own": lambda: whole(direct), "through the gateway": lambda: whole(through_gateway)}
        show(what, "s", in_turn(sides, rounds, warm_up=0))


def _shared(host: Host, origin: Registry) -> None:
    """Pull images that share layers, each after the other, and count who was asked for what."""
    digests = {}
    for number in range(IMAGES):
        # Layers of one size are the same in all of them, and the last has another size in each.
        sizes = (*SHARED_LAYERS_MIB, OWN_LAYER_MIB + number / 64)
        recipe = Recipe(version=f"{host.name}-{number}", layers_mib=sizes, shares=host.name)
        digests[recipe.version] = origin.push(f"library/{recipe.version}", "1", recipe)
    before = len(origin.asked("blobs", client=host.address))
    with _agent(host) as pull:
        took = sum(_seconds(pull(f"{name}:1", digest, origin)) for name, digest in digests.items())
    asked = Counter(row.place.tail for row in origin.asked("blobs", client=host.address)[before:])
    again = sum(1 for count in asked.values() if count > 1)
    print(
        f"engine {host.generation}, {IMAGES} images of {len(SHARED_LAYERS_MIB) + 2} layers, all but one of each shared"
    )
    print(
        f"  {took:.1f} s, {len(asked)} digests fetched, {sum(asked.values())} requests, {again} digests more than once\n",
        flush=True,
    )


@contextlib.contextmanager
def _agent(host: Host) -> Iterator[Callable[[str, Digest, Registry], Any]]:
    """Start a process on *host* that pulls through a gateway; give what asks it to, and returns the outcome.

    As an agent it keeps its gateway from pull to pull, with whom it trusts: to read the system's authorities takes a moment,
    and belongs to the first pull from a registry. The engine on the other side lives as long.
    """
    process = host.machine.talk(sys.executable, pulls_on_host.__file__)
    assert process.stdin is not None
    assert process.stdout is not None
    asks, answers, state = process.stdin, process.stdout, str(host.machine.folder / f"agent{next(_NUMBERS)}")

    def pull(reference: str, digest: Digest, registry: Registry) -> Any:
        order: dict[str, Any] = {
            "state": state,
            "kept": True,
            "insecure": [] if registry.tls else [registry.host],
            "pulls": [(reference, str(digest), [])],
        }
        asks.write(json.dumps(order) + "\n")
        asks.flush()
        return json.loads(answers.readline())["outcome"]

    try:
        yield pull
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=30)


def _seconds(outcome: Any) -> float:
    if not outcome["ok"] or outcome["tier"] != "loopback":
        raise FleetError(f"cannot compare: {outcome}")
    return float(outcome["duration_ms"]) / 1000


if __name__ == "__main__":
    main()
