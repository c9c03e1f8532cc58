"""What this host says about itself: its engine, its mirrors, and this agent."""

import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from fleet.agent.problems import Problems
from fleet.engine.protocol import Engine, EngineFacts
from fleet.errors import EngineError, EngineUnreachable
from fleet.mirrors.sources import HostMirrors
from fleet.road.messages import HostFacts
from fleet.road.versions import READS

ENGINE_AWAY = "engine-away"
PULLS_BY_ITSELF = "engine-pulls-by-itself"

ReadMirrors = Callable[[EngineFacts | None], HostMirrors]
"""Reads the mirrors of this host, given what its engine says."""


class Facts:
    """The engine's own words, asked again at every heartbeat; safe to use from several threads."""

    def __init__(self, engine: Engine, read_mirrors: ReadMirrors, problems: Problems) -> None:
        """Know nothing yet; *engine* is asked by the thread that calls ``ask``."""
        self._engine, self._read_mirrors, self._problems = engine, read_mirrors, problems
        self._lock = threading.Lock()
        self._last: EngineFacts | None = None

    def ask(self) -> EngineFacts | None:
        """Ask the engine; where it is away, note that, and return what it said last."""
        with self._lock:
            try:
                self._last = self._engine.facts()
            except (EngineUnreachable, EngineError) as error:
                self._problems.raise_(ENGINE_AWAY, str(error))
            else:
                self._problems.clear(ENGINE_AWAY)
            return self._last

    def mirrors(self) -> HostMirrors:
        """Return this host's mirrors, from its files and from what the engine said last."""
        return self._read_mirrors(self._last or self.ask())

    def pulls_by_itself(self, reason: str) -> None:
        """Note why the engine pulls by itself; an empty *reason*: it does not."""
        if reason:
            self._problems.raise_(PULLS_BY_ITSELF, reason)
        else:
            self._problems.clear(PULLS_BY_ITSELF)

    def of_host(self) -> HostFacts:
        """Ask the engine, and return what a heartbeat carries."""
        facts = self.ask()
        problems = (*self._problems.lines(), *self.mirrors().problems)
        if facts is None:
            return HostFacts(agent_version=agent_version(), reads=READS, problems=problems)
        return HostFacts(
            agent_version=agent_version(),
            reads=READS,
            engine_id=facts.id,
            engine_name=facts.name,
            engine_version=facts.version,
            api_version=facts.api_version,
            os=facts.os,
            architecture=facts.architecture,
            containerd_store=facts.containerd_store,
            problems=problems,
        )


def agent_version() -> str:
    """Return the version of this program, as it was installed."""
    try:
        return version("fleet-updater")
    except PackageNotFoundError:
        return "unknown"
