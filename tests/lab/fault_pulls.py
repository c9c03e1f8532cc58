"""One fault, one engine: what a pull of the engine's own does about it, and what pulls through the gateway do."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleet.images.digest import Digest
from tests.lab import pulls_on_host
from tests.lab.fault_bench import Lane
from tests.lab.fault_cases import Case, Place
from tests.lab.images import Recipe, build
from tests.lab.machines import eventually
from tests.lab.registries import mirror_options

LAYERS_MIB = (1.0, 0.25)
DIRECT_LIMIT_S = 45.0
"""So long an engine may try by itself before it counts as hanging."""
ENDLESS_LIMIT_S = 5.0
"""Where bytes come without end an engine keeps them all: engine 20.10 took 22 GB of memory for one manifest."""
_SCRIPT = Path(pulls_on_host.__file__)
_GATEWAY = "http://127.0.0.1:5999"
_WELL = (0, 1, 4)
"""Which images of a row do not meet the fault."""
_UNTIL_LOGGED_S = 3.0
"""A registry writes a request down at its end, which may be a moment after the client knows all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """What the engine's own pull came to."""

    seconds: float
    verdict: str
    """``right``, ``wrong image``, ``failed``, ``hangs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """What one pull through the gateway came to."""

    seconds: float
    ok: bool
    right: bool
    """Whether the engine has the right digest under the name."""
    reason: str
    mirror: str
    """What the attempt of whoever does wrong says; empty where it was left out of the route."""
    mirror_bytes: int
    mirror_sent: int
    """By the mirror's own log."""
    origin_bytes: int
    origin_sent: int
    whole_bytes: int
    """Of everything that the engine had to get: manifest, configuration and new layers."""
    untouched: bool = True
    """Whether the old image kept the name and its container ran on; true where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image at the origin that no engine has."""

    repository: str
    reference: str
    digest: Digest
    whole_bytes: int
    largest: str
    """The digest of the largest layer that the engine lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The pulls of one case: without the fault, with it, and with what the first one taught."""

    baseline_s: float
    """In the same process, just before; where two were taken, the quicker."""
    first: Through
    again: Through
    """Where two were taken, the quicker."""


def direct(lane: Lane, case: Case) -> Direct | None:
    """Let the engine pull by itself, with the mirror in its daemon.json; None where there is no such thing."""
    if case.place in (Place.OURSELVES, Place.NOWHERE) or case.killed:
        return None
    _use(lane, case)
    image = _push(lane, case)
    lane.misbehave(case.place, _aimed(case, image))
    endless = any(rule["fault"] == "endless" for rule in case.rules)
    limit_s = ENDLESS_LIMIT_S if endless else DIRECT_LIMIT_S
    began = time.monotonic()
    try:
        pulled = lane.host.machine.run(
            "timeout", str(limit_s), "docker", "pull", "--quiet", image.reference, check=False, timeout_s=2 * limit_s
        )
    except subprocess.TimeoutExpired:
        return Direct(seconds=time.monotonic() - began, verdict="hangs")
    finally:
        lane.behave()
    seconds = time.monotonic() - began
    if pulled.returncode == 0:
        found = lane.host.docker("image", "inspect", "--format", "{{json .RepoDigests}}", image.reference)
        return Direct(seconds=seconds, verdict="right" if str(image.digest) in found else "wrong image")
    return Direct(seconds=seconds, verdict="hangs" if seconds >= limit_s else "failed")


def through(lane: Lane, case: Case, *, twice: bool = False) -> Measured:
    """Pull through the gateway: two images without the fault, and two that meet it; *twice*: one more of each.

    The very first is not counted, for it finds a process that has done nothing yet. The quicker of two tells more: what
    else the machine does adds to a figure and never takes away.
    """
    if case.place is Place.ALONE or case.spool_full:
        return _in_vain(lane, case)
    images, policy = [_push(lane, case) for _ in range(6 if twice else 4)], _policy(lane, case)
    pulls = [_line(image, [] if number in _WELL else policy) for number, image in enumerate(images)]
    order = {"state": _state(lane), "pulls": pulls}
    meets = next(image for number, image in enumerate(images) if number not in _WELL)
    lane.misbehave(case.place, _aimed(case, meets))
    try:
        before = _until_killed(lane, order) if case.killed else []
        told = lane.pull(order)
    finally:
        lane.behave()
    first, *rest = (_read(lane, case, told[n], image) for n, image in enumerate(images) if n not in _WELL)
    well = [(before or told)[1], *(told[n] for n in _WELL if 1 < n < len(told))]
    return Measured(
        baseline_s=min(each["outcome"]["duration_ms"] for each in well) / 1000,
        first=first,
        again=min(rest, key=lambda pull: (pull.ok and pull.right, pull.seconds)),
    )


def _in_vain(lane: Lane, case: Case) -> Measured:
    """Pull where nobody can serve, on a host that has the image's last version and runs it."""
    alone = case.place is Place.ALONE
    registry = lane.mirrors[Place.PLAIN]
    repository = f"library/fault-{lane.number()}"
    name = f"{registry.host}/{repository}:1" if alone else f"{repository.removeprefix('library/')}:1"
    at = registry if alone else lane.bench.origin
    old = at.push(repository, "1", Recipe(version=f"old {repository}"))
    insecure = [registry.host]
    good: dict[str, Any] = {"state": _state(lane), "pulls": [(name, str(old), [])], "insecure": insecure}
    began = lane.pull(good)[0]
    container = lane.host.docker("run", "-d", name)
    recipe = Recipe(version=f"new {repository}", layers_mib=LAYERS_MIB)
    image = Image(
        repository=repository, reference=name, digest=at.push(repository, "1", recipe), whole_bytes=0, largest=""
    )
    order: dict[str, Any] = {"state": _state(lane), "pulls": [(name, str(image.digest), [])], "insecure": insecure}
    if case.spool_full:
        _fill(lane, order["state"])

    def once() -> Through:
        before = lane.sent(lane.bench.origin, repository)
        told = lane.pull(order)[0]
        running = lane.host.docker("inspect", "--format", "{{.State.Running}} {{.Image}}", container)
        untouched = told["id"] == began["id"] and running == f"true {began['id']}"
        read = _read(lane, case, told, image, untouched=untouched)
        return replace(read, origin_sent=read.origin_sent - before)

    lane.misbehave(Place.PLAIN, case.rules)
    try:
        first, again = once(), once()
    finally:
        lane.behave()
        lane.host.docker("rm", "-f", container)
    return Measured(baseline_s=began["outcome"]["duration_ms"] / 1000, first=first, again=again)


def _use(lane: Lane, case: Case) -> None:
    """Let the engine use the mirror of *case*, or trust the registry that does wrong."""
    mirror = lane.mirrors[case.place]
    alone = case.place is Place.ALONE
    lane.host.configure({"insecure-registries": [mirror.host]} if alone else mirror_options([mirror]))
    lane.host.reload()
    list_of: Callable[[dict[str, Any]], Any] = (
        (lambda found: found["IndexConfigs"]) if alone else (lambda found: found["Mirrors"])
    )
    eventually("the mirror in use", lambda: mirror.host in json.dumps(list_of(lane.host.facts()["RegistryConfig"])))


def _push(lane: Lane, case: Case) -> Image:
    """Push a new image to where its pull ends, the origin mostly."""
    repository = f"library/fault-{lane.number()}"
    version = f"{lane.host.name} {case.name} {repository}"
    alone = case.place is Place.ALONE
    at = lane.mirrors[Place.PLAIN] if alone else lane.bench.origin
    if any(rule["fault"] == "stale_tag" for rule in case.rules):
        at.push(repository, "1", Recipe(version=f"old {version}", layers_mib=LAYERS_MIB))
    built = build(Recipe(version=version, layers_mib=LAYERS_MIB))
    digest = at.push(repository, "1", built)
    # The lowest layer is that of every image here, and the engine has it.
    base = json.loads(built.raw)["layers"][0]["digest"]
    fresh = {str(name): len(content) for name, content in built.blobs.items() if str(name) != base}
    whole, largest = len(built.raw) + sum(fresh.values()), max(fresh, key=fresh.__getitem__)
    host = f"{at.host}/" if alone else ""
    name = repository if alone else repository.removeprefix("library/")
    return Image(repository=repository, reference=f"{host}{name}:1", digest=digest, whole_bytes=whole, largest=largest)


def _aimed(case: Case, image: Image) -> tuple[Mapping[str, object], ...]:
    """Return the rules of *case*; what strikes once strikes the largest layer of *image*, and not whatever comes first."""
    return tuple({**rule, "tail": image.largest} if rule.get("times") == 1 else rule for rule in case.rules)


def _policy(lane: Lane, case: Case) -> list[dict[str, Any]]:
    if case.place is Place.NOWHERE:
        return []
    url = _GATEWAY if case.place is Place.OURSELVES else lane.mirrors[case.place].url
    return [{"for": "docker.io", "url": url, "insecure": url.startswith("http:")}]


def _state(lane: Lane) -> str:
    return str(lane.host.machine.folder / f"faults-{lane.number()}")


def _fill(lane: Lane, state: str) -> None:
    """Give the spool in *state* a disk that is as large as what must stay free on it."""
    lane.host.machine.run("mkdir", "-p", f"{state}/spool")
    lane.host.machine.run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", f"{state}/spool")


def _until_killed(lane: Lane, order: dict[str, Any]) -> Sequence[Any]:
    """Begin the third pull of *order*, and kill it when it has a part of a layer; return what those before came to."""
    running = lane.host.machine.start("faults-killed", sys.executable, _SCRIPT, "--once", json.dumps(order))
    spool = Path(order["state"]) / "spool"
    eventually("two pulls done", lambda: running.log.read_text().count('"outcome"') == 2, within_s=120)
    eventually("a part of a layer", lambda: any(file.stat().st_size > 100_000 for file in spool.glob("*.part")))
    running.kill()
    return [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]


def _line(image: Image, mirrors: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    return image.reference, str(image.digest), mirrors


def _read(lane: Lane, case: Case, told: Any, image: Image, *, untouched: bool = True) -> Through:
    outcome, mirror = told["outcome"], lane.mirrors.get(case.place)
    roles = {attempt["role"]: attempt for attempt in outcome["attempts"]}
    guilty, origin = roles.get("origin" if case.place is Place.ALONE else "mirror"), roles.get("origin")
    given = guilty["bytes"] if guilty else 0

    def sent() -> int:
        whole = 0 if mirror is None else lane.sent(mirror, image.repository)
        astray = any(rule.get("location") == "OTHER" for rule in case.rules)
        return whole + (lane.sent(lane.bench.other, image.repository) if astray else 0)

    ends = time.monotonic() + _UNTIL_LOGGED_S
    while case.logged and sent() < given and time.monotonic() < ends:
        time.sleep(0.1)
    return Through(
        seconds=outcome["duration_ms"] / 1000,
        ok=outcome["ok"],
        right=any(str(image.digest) in text for text in told["digests"]),
        reason=outcome["reason"],
        mirror=guilty["result"] if guilty else "",
        mirror_bytes=given,
        mirror_sent=sent(),
        origin_bytes=origin["bytes"] if origin else 0,
        origin_sent=lane.sent(lane.bench.origin, image.repository),
        whole_bytes=image.whole_bytes,
        untouched=untouched,
    )
