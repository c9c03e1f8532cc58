"""An engine in memory that lives in the test's process and is used by an agent in another: it outlives a kill -9."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from multiprocessing.managers import BaseManager
from typing import Any

from fleet.engine.protocol import CreateSpec, EngineEvent, EngineFacts, Executed, Inspect, PullEvent
from fleet.testing.engine import MemoryEngine

KEY = b"tests alone"


class EngineServer(BaseManager):
    """Serves one engine on a unix socket."""


class EngineClient(BaseManager):
    """The other end."""


EngineClient.register("engine")


def serve(engine: MemoryEngine, address: str) -> Any:
    """Serve *engine* in threads of this process; return the server, whose ``stop_event`` ends it."""
    EngineServer.register("engine", callable=lambda: Facade(engine))
    return EngineServer(address=address, authkey=KEY).get_server()


class Facade:
    """What of an engine can go over a socket."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    def call(self, name: str, *arguments: Any, **more: Any) -> Any:
        """Call one method of the engine."""
        return getattr(self._engine, name)(*arguments, **more)

    def pulled(self, reference: str) -> list[PullEvent]:
        """Pull, and return all lines at once."""
        return list(self._engine.pull(reference))


class RemoteEngine:
    """The engine as the agent's process sees it."""

    url = "unix:///memory"

    def __init__(self, address: str) -> None:
        client = EngineClient(address=address, authkey=KEY)
        client.connect()
        self._far = client.engine()  # type: ignore[attr-defined]

    def facts(self) -> EngineFacts:
        found: EngineFacts = self._far.call("facts")
        return found

    def ping(self) -> None:
        self._far.call("ping")

    def container_ids(self, *, all: bool = False) -> list[str]:
        ids: list[str] = self._far.call("container_ids", all=all)
        return ids

    def inspect(self, container: str) -> Inspect | None:
        found: Inspect | None = self._far.call("inspect", container)
        return found

    def image(self, image: str) -> Inspect | None:
        found: Inspect | None = self._far.call("image", image)
        return found

    def pull(self, reference: str, *, auth: Mapping[str, str] | None = None, platform: str = "") -> Iterator[PullEvent]:
        return iter(self._far.pulled(reference))

    def tag(self, image: str, repository: str, tag: str) -> None:
        self._far.call("tag", image, repository, tag)

    def remove_image(self, image: str, *, prune_parents: bool = False) -> None:
        self._far.call("remove_image", image)

    def image_names(self) -> list[str]:
        names: list[str] = self._far.call("image_names")
        return names

    def create(self, spec: CreateSpec) -> str:
        return str(self._far.call("create", spec))

    def start(self, container: str) -> None:
        self._far.call("start", container)

    def stop(self, container: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        self._far.call("stop", container, timeout_s=timeout_s, signal=signal)

    def rename(self, container: str, name: str) -> None:
        self._far.call("rename", container, name)

    def remove(self, container: str, *, force: bool = False) -> None:
        self._far.call("remove", container, force=force)

    def set_restart_policy(self, container: str, policy: Mapping[str, Any]) -> None:
        self._far.call("set_restart_policy", container, policy)

    def changes(self, container: str) -> dict[str, bool]:
        found: dict[str, bool] = self._far.call("changes", container)
        return found

    def read_files(self, container: str, path: str, *, most_bytes: int) -> bytes:
        found: bytes = self._far.call("read_files", container, path, most_bytes=most_bytes)
        return found

    def write_files(self, container: str, folder: str, packed: bytes) -> None:
        self._far.call("write_files", container, folder, packed)

    def execute(self, container: str, command: Sequence[str], *, user: str = "", timeout_s: float) -> Executed:
        done: Executed = self._far.call("execute", container, command, user=user, timeout_s=timeout_s)
        return done

    def events(self, *, since: datetime | None = None) -> Iterator[EngineEvent]:
        return iter(())

    def close(self) -> None:
        """Leave the connection to the end of the process."""
