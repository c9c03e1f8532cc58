"""What runs on this host, told whole: at the start, after changes, and when the centre asks."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from fleet.agent.facts import ENGINE_AWAY, Facts
from fleet.agent.problems import Problems
from fleet.clock import Clock
from fleet.engine.protocol import Engine, EngineEvent
from fleet.errors import EngineError, EngineUnreachable
from fleet.mirrors.source import MirrorRule
from fleet.road.messages import Snapshot, Up
from fleet.updates.images import KnownImages
from fleet.updates.observe import DigestTable, observe, snapshot_hash
from fleet.updates.snapshot import ContainerState

log = logging.getLogger(__name__)

SETTLE_S = 5.0
"""How long the engine must have been quiet: one change of a container is several events, and people change several."""
LONGEST_UNREST_S = 60.0
"""How long a restless engine puts a snapshot off."""
PART_BYTES = 600_000
"""The most of one part as JSON: signed and in base64 it stays below the limit of a message, with room for names."""
FOREVER = float("inf")

_TELLING = frozenset(
    {"create", "start", "die", "stop", "pause", "unpause", "rename", "destroy", "update", "tag", "untag", "delete"}
)
"""Actions after which a snapshot may differ. A HEALTHCHECK's ``exec_*`` comes every few seconds and is none."""


class Inventory:
    """The snapshot as it was sent last, and whether it may have changed since; its steps are taken by one thread."""

    def __init__(
        self,
        engine: Engine,
        known: DigestTable,
        facts: Facts,
        say: Callable[[Up], None],
        *,
        clock: Clock,
        problems: Problems,
        images: KnownImages | None = None,
    ) -> None:
        """Prepare; the first step sends. *images* is given what the engine says of the images that run."""
        self._images = images
        self._engine, self._known, self._facts, self._say = engine, known, facts, say
        self._clock, self._problems = clock, problems
        self._asked = False
        self._mirrors: tuple[MirrorRule, ...] | None = None
        """The rules at the last look: files of which no event tells."""
        self._changed_first: float | None = None
        self._changed_last = 0.0
        self.hash = ""
        """The hash of the snapshot that was sent last; empty before the first."""

    def ask(self) -> None:
        """Let the next step send, whether anything changed or not."""
        self._asked = True

    def changed(self) -> None:
        """Note that something may have changed on the engine."""
        self._changed_last = self._clock.monotonic()
        if self._changed_first is None:
            self._changed_first = self._changed_last

    def in_s(self) -> float:
        """Return the seconds until a step has something to do; for ever, where nothing changed."""
        first, last = self._changed_first, self._changed_last
        if self._asked:
            return 0.0
        if first is None:
            return FOREVER
        return max(0.0, min(last + SETTLE_S, first + LONGEST_UNREST_S) - self._clock.monotonic())

    def step(self, *, look: bool = False) -> None:
        """Look at the engine where that is due, or *look* says so, and send what differs from what was sent."""
        if not look and self.in_s() > 0 and self._facts.mirrors().rules == self._mirrors:
            return
        asked, self._asked, self._changed_first = self._asked, False, None
        try:
            containers = observe(self._engine, self._known, self._images)
        except (EngineUnreachable, EngineError) as error:
            # The heartbeat tells; the engine's events, or the next heartbeat, bring the next look.
            self._problems.raise_(ENGINE_AWAY, str(error))
            return
        self._problems.clear(ENGINE_AWAY)
        self._mirrors = mirrors = self._facts.mirrors().rules
        hash = snapshot_hash(containers, mirrors)
        if hash == self.hash and not asked:
            return
        self.hash = hash
        for part in parts(hash, containers, mirrors):
            self._say(part)
        log.info("snapshot told", extra={"containers": len(containers), "hash": hash[:12]})


def parts(
    hash: str, containers: Sequence[ContainerState], mirrors: Sequence[MirrorRule], *, most_bytes: int = PART_BYTES
) -> list[Snapshot]:
    """Return the snapshot as messages of at most *most_bytes* each, split between containers; the mirrors in the first."""
    first = len(Snapshot(hash=hash, containers=(), mirrors=tuple(mirrors)).model_dump_json())
    groups = list(_grouped(containers, most_bytes, first)) or [[]]
    return [
        Snapshot(
            hash=hash,
            part=number,
            parts=len(groups),
            containers=tuple(group),
            mirrors=tuple(mirrors) if number == 0 else (),
        )
        for number, group in enumerate(groups)
    ]


def is_telling(event: EngineEvent) -> bool:
    """Tell whether a snapshot may differ after *event*."""
    return event.action in _TELLING or event.action.startswith("health_status")


def watch(events: Iterable[EngineEvent], changed: Callable[[], None], stopping: Callable[[], bool]) -> None:
    """Tell *changed* of every telling event, until the events end or *stopping* says so."""
    for event in events:
        if stopping():
            return
        if is_telling(event):
            changed()


def _grouped(containers: Sequence[ContainerState], most_bytes: int, used: int) -> Iterator[list[ContainerState]]:
    group: list[ContainerState] = []
    for container in (_bounded(each, most_bytes // 2) for each in containers):
        size = _size(container)
        if group and used + size > most_bytes:
            yield group
            group, used = [], 0
        group.append(container)
        used += size
    if group:
        yield group


def _bounded(container: ContainerState, most_bytes: int) -> ContainerState:
    """Return *container*, without its labels where they make it too large: the centre still knows that it runs."""
    return container if _size(container) <= most_bytes else replace(container, labels={}, own=None, keeps=None)


def _size(container: ContainerState) -> int:
    return len(Snapshot(hash="", containers=(container,)).model_dump_json().encode())
