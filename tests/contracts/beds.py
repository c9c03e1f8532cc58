"""The engines that one suite runs over: the stand-in, and real ones of each generation, with what a test does to them."""

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from docker.api.client import APIClient
from docker.types import IPAMConfig, IPAMPool

from fleet.clock import Clock, SystemClock
from fleet.engine.docker import connect
from fleet.engine.protocol import CreateSpec, Engine, Inspect
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.testing.engine_images import Behaviour

STEADY = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")
"""A program that runs until it is told to end, and then ends at once."""
ENDS = ("sh", "-c", "exit 3")
NOWHERE = ["/nowhere"]
"""The entrypoint of a program that is not there."""
_PROBED: Mapping[str, Any] = {"Interval": 10**9, "Timeout": 30 * 10**9, "Retries": 2}
"""A busy machine may take seconds to start what says at once that all is well."""
GOOD_PROBE = {"Test": ["CMD", "true"], **_PROBED}
BAD_PROBE = {"Test": ["CMD", "false"], **_PROBED}
PATIENCE_S = 120.0
_APPLETS = ("sh", "sleep", "cat", "true", "false", "echo", "ls", "mkdir", "wget", "httpd", "id", "hostname")


class Bed(Protocol):
    """One engine, and what a test does to it."""

    @property
    def engine(self) -> Engine:
        """The engine, as Fleet sees it."""
        ...

    @property
    def clock(self) -> Clock:
        """The time that passes for it."""
        ...

    def image(self, reference: str, **config: Any) -> str:
        """Let *reference* name a new image with that config; return its id."""
        ...

    def network(self, name: str, subnet: str) -> None:
        """Make a network."""
        ...

    def write(self, volume: str, text: str) -> None:
        """Write *text* into a file of a volume."""
        ...

    def read(self, volume: str) -> str:
        """Return what was written."""
        ...


def run(bed: Bed, name: str, image: str, **body: Any) -> Inspect:
    """Create and start a container, and return its inspect."""
    made = bed.engine.create(CreateSpec(name=name, body={"Image": image} | body))
    bed.engine.start(made)
    found = bed.engine.inspect(made)
    assert found is not None
    return found


def eventually(bed: Bed, what: str, holds: Callable[[], bool]) -> None:
    """Wait until *holds* by the bed's own clock."""
    began = bed.clock.monotonic()
    while not holds():
        assert bed.clock.monotonic() - began < PATIENCE_S, f"not within {PATIENCE_S} s: {what}"
        bed.clock.sleep(0.1)


class MemoryBed:
    """The stand-in."""

    def __init__(self, api_version: str) -> None:
        """Talk that API version."""
        self.clock = ManualClock()
        self.engine = self.memory = MemoryEngine(self.clock, api_version=api_version)

    def image(self, reference: str, **config: Any) -> str:
        """Let *reference* name a new image with that config; its program is read off its command and probe."""
        full = {"Env": ["PATH=/bin"], "Cmd": list(STEADY)} | config
        ends = full["Cmd"] == list(ENDS)
        bad = (full.get("Healthcheck") or {}).get("Test") == BAD_PROBE["Test"]
        behaviour = Behaviour(
            start_error="exec: not found" if full.get("Entrypoint") == NOWHERE else "",
            exits_after_s=0.0 if ends else None,
            exit_code=3 if ends else 0,
            health="unhealthy" if bad else "healthy",
        )
        return self.memory.add_image(reference, behaviour=behaviour, **full).id

    def network(self, name: str, subnet: str) -> None:
        """Make a network."""
        self.memory.add_network(name)

    def write(self, volume: str, text: str) -> None:
        """Write *text* into a file of a volume."""
        self.memory.world.volumes[volume]["kept"] = text

    def read(self, volume: str) -> str:
        """Return what was written."""
        return self.memory.world.volumes[volume]["kept"]


class RealBed:
    """A real engine; its volumes are read where it keeps them."""

    def __init__(self, url: str) -> None:
        """Talk to the engine at *url*."""
        self.clock = SystemClock()
        self.engine = connect(url)
        self.url = url
        self._api: Any = APIClient(base_url=url, version="auto")
        self._programs = _programs()

    def image(self, reference: str, **config: Any) -> str:
        """Load an image with that config, and let *reference* name it."""
        repository, _, tag = reference.partition(":")
        changes = list(_changes({"Env": ["PATH=/bin"], "Cmd": list(STEADY)} | config))
        self._api.import_image_from_data(self._programs, repository=repository, tag=tag, changes=changes)
        found = self.engine.image(reference)
        assert found is not None
        return str(found["Id"])

    def network(self, name: str, subnet: str) -> None:
        """Make a network."""
        self._api.create_network(name, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))

    def write(self, volume: str, text: str) -> None:
        """Write *text* into a file of a volume."""
        self._file(volume).write_text(text)

    def read(self, volume: str) -> str:
        """Return what was written."""
        return self._file(volume).read_text()

    def clean(self, *, but: str = "") -> None:
        """Remove every container, network and volume that tests made, *but* a container and what it has."""
        kept = self.engine.inspect(but) if but else None
        volumes = {mount.get("Name") for mount in kept["Mounts"]} if kept else set()
        for row in self._api.containers(all=True, quiet=True):
            if kept is None or row["Id"] != kept["Id"]:
                self.engine.remove(row["Id"], force=True)
        if kept is None:
            self._api.prune_networks()
        for row in self._api.volumes().get("Volumes") or ():
            if row["Name"] not in volumes:
                self._api.remove_volume(row["Name"], force=True)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.close()
        self._api.close()

    def _file(self, volume: str) -> Path:
        return Path(self._api.inspect_volume(volume)["Mountpoint"]) / "kept"


@contextmanager
def real_bed(url: str) -> Iterator[RealBed]:
    """Give the bed of the engine at *url*, empty before and after."""
    bed = RealBed(url)
    try:
        bed.clean()
        yield bed
        bed.clean()
    finally:
        bed.close()


def _changes(config: Mapping[str, Any]) -> Iterator[str]:
    """Spell an image's config as the lines of a Dockerfile that an import takes."""
    for word, field in (("CMD", "Cmd"), ("ENTRYPOINT", "Entrypoint")):
        if config.get(field):
            yield f"{word} {json.dumps(config[field])}"
    yield from (f"ENV {entry}" for entry in config.get("Env") or ())
    yield from (f"LABEL {key}={json.dumps(value)}" for key, value in (config.get("Labels") or {}).items())
    yield from (f"VOLUME {json.dumps([path])}" for path in config.get("Volumes") or ())
    yield from (f"EXPOSE {port}" for port in config.get("ExposedPorts") or ())
    for word, field in (("USER", "User"), ("WORKDIR", "WorkingDir")):
        if config.get(field):
            yield f"{word} {config[field]}"
    probe = config.get("Healthcheck")
    if probe:
        times = " ".join(
            f"--{option}={probe[field] // 10**9}s"
            for option, field in (("interval", "Interval"), ("timeout", "Timeout"))
        )
        yield f"HEALTHCHECK {times} --retries={probe['Retries']} CMD {json.dumps(probe['Test'][1:])}"


def _programs() -> bytes:
    """Return a file system with busybox; made anew with another time each, so that no two images are one."""
    busybox = Path("/bin/busybox").read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in ("bin", "data", "tmp", "etc", "work"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode, program.mtime = len(busybox), 0o755, int(time.time())
        tar.addfile(program, io.BytesIO(busybox))
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()
