"""An engine in memory that behaves as Docker does, and fails on demand at every call.

It keeps names unique, follows restart policies when it is restarted, removes ``--rm`` containers with their anonymous
volumes, and lets a caller die with its request under way. One suite (tests/contracts) holds it against real engines.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from fleet.clock import Clock
from fleet.engine.protocol import CreateSpec, EngineEvent, EngineFacts, Executed, Inspect, PullEvent
from fleet.errors import EngineError
from fleet.images.reference import Reference
from fleet.testing.clock import ManualClock
from fleet.testing.engine_containers import MemoryContainer
from fleet.testing.engine_faults import Fault, Faults, When
from fleet.testing.engine_images import STEADY, Behaviour, MemoryImage
from fleet.testing.engine_world import World

T = TypeVar("T")
Puller = Callable[["MemoryEngine", str, Mapping[str, str] | None, str], Iterator[PullEvent]]
"""What a pull does: given the engine, the reference, the credential and the platform; adds the image itself."""

LATE_S = 0.2
"""How long what was under way goes on, unless told otherwise."""
DEFAULT_STOP_S = 10


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the engine was asked for."""

    name: str
    arguments: tuple[Any, ...] = ()


class MemoryEngine:
    """An engine in memory; safe to use from several threads."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        api_version: str = "1.45",
        name: str = "memory",
        puller: Puller | None = None,
        mirrors: tuple[str, ...] = (),
        insecure_registries: tuple[str, ...] = (),
    ) -> None:
        """Hold nothing; *puller* answers pulls, else only what ``publish`` offered or is there can be pulled."""
        self.clock = clock or ManualClock()
        self.calls: list[Call] = []
        self.commands: dict[str, tuple[int, str, float]] = {}
        """The last word of a command that is run in a container -> its exit code, its output, and the seconds it takes."""
        self.world = World(self.clock, api_version, name, self._tell)
        self._facts = EngineFacts(
            id=f"MEMORY:{name}",
            name=name,
            version="26.1.5",
            api_version=api_version,
            os="linux",
            architecture="amd64",
            containerd_store=False,
            mirrors=mirrors,
            insecure_registries=insecure_registries,
        )
        self._puller = puller
        self._offered: dict[str, tuple[dict[str, Any], Behaviour, str]] = {}
        self._faults = Faults()
        self._events: list[EngineEvent] = []
        self._changed = threading.Condition(threading.RLock())
        self._closed = False

    # What a test does to the engine.

    def add_image(
        self, reference: str, *, behaviour: Behaviour = STEADY, digest: str = "", **config: Any
    ) -> MemoryImage:
        """Put an image there and let *reference* name it, no other any longer; *config* is its ``Config``."""
        with self._changed:
            return self.world.images.add(reference, _image_config(config), behaviour, digest)

    def publish(self, reference: str, digest: str, *, behaviour: Behaviour = STEADY, **config: Any) -> None:
        """Let a pull of *reference*, by its tag or by *digest*, bring this image."""
        named = Reference.parse(reference).with_tag_latest()
        for wanted in (named.familiar, f"{named.familiar_name}@{digest}"):
            self._offered[wanted] = (_image_config(config), behaviour, digest)

    def run(self, name: str, image: str, **body: Any) -> str:
        """Create and start a container beside the log and the faults; *body* is of the create body."""
        with self._changed:
            made = self.world.create(CreateSpec(name=name, body={"Image": image} | body))
            self.world.start(self.world.must(made, "start"))
            return made

    def add_network(self, name: str) -> None:
        """Make a network."""
        self.world.networks[name] = f"{name}-id"

    def fail(
        self,
        call: str,
        error: BaseException | Callable[[], BaseException],
        *,
        after: int = 0,
        when: When = When.BEFORE,
        times: int = 1,
        late_s: float = LATE_S,
    ) -> None:
        """Raise *error* at the next *call* (a method's name, ``*`` for any), once *after* such calls went well."""
        self._faults.add(Fault(call=call, error=error, when=when, after=after, times=times, late_s=late_s))

    def heal(self) -> None:
        """Let every further call go well."""
        self._faults.clear()

    def restart(self) -> None:
        """Kill the engine and start it again; containers are then run by their restart policies."""
        with self._changed:
            self.world.settle()
            self.world.restart()

    def behave(self, container: str, behaviour: Behaviour) -> None:
        """Let one container behave otherwise from now on."""
        with self._changed:
            self.world.settle()
            self.world.must(container, "change").behaviour = behaviour

    def running(self) -> dict[str, Inspect]:
        """Return name -> inspect of what runs, beside the log and the faults."""
        with self._changed:
            self.world.settle()
            now = self.clock.monotonic()
            return {one.name: one.inspect(now) for one in self.world.containers.values() if one.running}

    def names(self) -> list[str]:
        """Return the names of all containers, beside the log and the faults."""
        with self._changed:
            self.world.settle()
            return sorted(one.name for one in self.world.containers.values())

    # What Fleet asks of it.

    def facts(self) -> EngineFacts:
        """Return what the engine says about itself."""
        return self._do("facts", lambda: self._facts)

    def ping(self) -> None:
        """Return if the engine answers."""
        self._do("ping", lambda: None)

    def container_ids(self, *, all: bool = False) -> list[str]:
        """Return the full ids of the running containers, or of all."""
        rows = self.world.containers
        return self._do("container_ids", lambda: [one.id for one in rows.values() if all or one.status() == "running"])

    def inspect(self, container: str) -> Inspect | None:
        """Return the full inspect of a container, or None where there is none."""

        def look() -> Inspect | None:
            found = self.world.find(container)
            return found.inspect(self.clock.monotonic()) if found else None

        return self._do("inspect", look, container)

    def image(self, image: str) -> Inspect | None:
        """Return the inspect of an image by id or reference, or None where there is none."""

        def look() -> Inspect | None:
            found = self.world.images.find(image)
            return found.inspect() if found else None

        return self._do("image", look, image)

    def pull(self, reference: str, *, auth: Mapping[str, str] | None = None, platform: str = "") -> Iterator[PullEvent]:
        """Pull *reference*: by the puller, or from what was published or is there."""
        if self._puller is not None:
            return self._do("pull", lambda: self._pulled_by(reference, auth, platform), reference)
        return self._do("pull", lambda: iter(self._pulled(reference)), reference)

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give *image* one more name."""

        def name() -> None:
            found = self.world.images.find(image)
            if found is None:
                raise EngineError(f"cannot tag {image}: No such image: {image}", status=404)
            self.world.images.name(found, Reference.parse(f"{repository}:{tag}"))

        self._do("tag", name, image, repository, tag)

    def remove_image(self, image: str, *, prune_parents: bool = False) -> None:
        """Remove a name of an image, or the image where *image* is an id."""
        used = {one.image_id: one.name for one in self.world.containers.values()}
        self._do("remove_image", lambda: self.world.images.remove(image, used), image)

    def image_names(self) -> list[str]:
        """Return every ``repository:tag`` and ``repository@digest`` that the engine has."""
        held = self.world.images.images
        return self._do("image_names", lambda: sorted(name for one in held.values() for name in one.tags | one.digests))

    def create(self, spec: CreateSpec) -> str:
        """Create a container, connect its further networks, and return its full id."""
        return self._do("create", lambda: self.world.create(deepcopy(spec)), spec)

    def start(self, container: str) -> None:
        """Start a container; already running is a success."""
        self._do("start", lambda: self.world.start(self.world.must(container, "start")), container)

    def stop(self, container: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop a container, which takes the time that its program takes, or its patience; stopped is a success."""
        with self._changed:
            self.world.settle()
            found = self.world.find(container)
            run, lasts, killed = (found.run, *_stopping(found, timeout_s)) if found else (0, 0.0, False)

        def end() -> None:
            self.world.stop(self.world.must(container, "stop"), run, killed)

        self._do("stop", end, container, *((signal,) if signal else ()), lasts_s=lasts)

    def rename(self, container: str, name: str) -> None:
        """Rename a container."""
        self._do("rename", lambda: self.world.rename(self.world.must(container, "rename"), name), container, name)

    def remove(self, container: str, *, force: bool = False) -> None:
        """Remove a container, never its volumes; already gone is a success."""

        def drop() -> None:
            found = self.world.find(container)
            if found is not None:
                self.world.remove(found, force=force)

        self._do("remove", drop, container)

    def set_restart_policy(self, container: str, policy: Mapping[str, Any]) -> None:
        """Change a container's restart policy in place."""

        def change() -> None:
            found = self.world.must(container, "update")
            if found.host["AutoRemove"] and policy["Name"] != "no":
                raise EngineError(f"cannot update container {container}: AutoRemove is enabled for it", status=400)
            found.host["RestartPolicy"] = dict(policy)

        self._do("set_restart_policy", change, container, dict(policy))

    def changes(self, container: str) -> dict[str, bool]:
        """Return the paths of the writable layer, each as an added one."""
        return self._do("changes", lambda: dict.fromkeys(self.world.must(container, "read").files, True), container)

    def read_files(self, container: str, path: str, *, most_bytes: int) -> bytes:
        """Return what is at *path*, as a tar in name only; raise EngineError where it is over *most_bytes*."""

        def read() -> bytes:
            found = self.world.must(container, "read").files.get(path)
            if found is None or len(found) > most_bytes:
                raise EngineError(f"cannot read {path} of container {container}", status=404)
            return path.encode() + b"\0" + found

        return self._do("read_files", read, container, path)

    def write_files(self, container: str, folder: str, packed: bytes) -> None:
        """Write what ``read_files`` returned."""

        def write() -> None:
            path, _, content = packed.partition(b"\0")
            name = path.decode().rpartition("/")[2]
            self.world.must(container, "write").files[f"{folder.rstrip('/')}/{name}"] = content

        self._do("write_files", write, container, folder)

    def execute(self, container: str, command: Sequence[str], *, user: str = "", timeout_s: float) -> Executed:
        """Run *command* in a running container: what ``commands`` says of its last word, else it ends well at once."""
        code, output, takes_s = self.commands.get(command[-1], (0, "", 0.0))

        def end() -> Executed:
            made = self.world.must(container, "run a command in")
            if not made.running:
                told = f"Container {made.id} is not running"
                raise EngineError(f"cannot run {command[0]} in container {container}: {told}", status=409)
            made.executed.append((*command, user))
            return Executed(code=code if takes_s <= timeout_s else None, output=output)

        return self._do("execute", end, container, tuple(command), user, lasts_s=min(takes_s, timeout_s))

    def events(self, *, since: datetime | None = None) -> Iterator[EngineEvent]:
        """Yield the container and image events until closed; those after *since* first."""
        told = 0 if since is not None else len(self._events)
        while True:
            with self._changed:
                while not self._closed and len(self._events) <= told:
                    self._changed.wait()
                fresh, told = self._events[told:], len(self._events)
                if not fresh and self._closed:
                    return
            yield from (event for event in fresh if since is None or event.at >= since)

    def close(self) -> None:
        """End every stream of events; the engine itself goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _do(self, call: str, effect: Callable[[], T], *arguments: Any, lasts_s: float = 0.0) -> T:
        """Let *effect* take place as the faults allow, and return what it returns."""
        with self._changed:
            self.calls.append(Call(call, arguments))
            fault = self._faults.take(call)
            if fault is not None and fault.when is When.LATE:
                self.world.later(fault.late_s, effect)
        if fault is not None and fault.when is not When.AFTER:
            raise fault.raised()
        if lasts_s:
            self.clock.sleep(lasts_s)
        with self._settled():
            answer = effect()
        if fault is not None:
            raise fault.raised()
        return answer

    @contextmanager
    def _settled(self) -> Iterator[None]:
        with self._changed:
            self.world.settle()
            yield
            self.world.settle()

    def _tell(self, action: str, made: MemoryContainer) -> None:
        with self._changed:
            event = EngineEvent(
                kind="container",
                action=action,
                id=made.id,
                name=made.name,
                at=self.clock.now(),
                attributes={"image": str(made.config["Image"]), "name": made.name},
            )
            self._events.append(event)
            self._changed.notify_all()

    def _pulled_by(self, reference: str, auth: Mapping[str, str] | None, platform: str) -> Iterator[PullEvent]:
        if self._puller is None:
            raise EngineError(f"cannot pull {reference}: nothing answers pulls here")
        return self._puller(self, reference, auth, platform)

    def _pulled(self, reference: str) -> list[PullEvent]:
        named = Reference.parse(reference).with_tag_latest()
        digest = named.digest
        wanted = f"{named.familiar_name}@{digest}" if digest else named.familiar
        if wanted in self._offered:
            config, behaviour, digest_text = self._offered[wanted]
            have = self.world.images.find(f"{named.familiar_name}@{digest_text}")
            image = have or self.world.images.add("", config, behaviour, digest_text)
            image.digests.add(f"{named.familiar_name}@{digest_text}")
            if digest is None:
                self.world.images.name(image, named)
        elif self.world.images.find(wanted) is None:
            raise EngineError(f"cannot pull {reference}: manifest unknown")
        return [PullEvent(status=f"Pulling {wanted}"), PullEvent(status="Download complete", current=1, total=1)]


def _stopping(made: MemoryContainer, timeout_s: int | None) -> tuple[float, bool]:
    """Return how long it takes until *made* has ended, and whether it must be killed for that."""
    if not made.running:
        return 0.0, False
    own = made.config.get("StopTimeout")
    patience = timeout_s if timeout_s is not None else DEFAULT_STOP_S if own is None else int(own)
    takes = made.behaviour.stop_takes_s
    return (takes, False) if patience < 0 or takes <= patience else (float(patience), True)


def _image_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"Env": ["PATH=/usr/bin"], "Cmd": ["serve"]} | dict(config)
