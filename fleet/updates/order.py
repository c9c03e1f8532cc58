"""Which containers of a host need which others, and in what order they are recreated. Pure.

All that says so is put into one graph: the label ``depends-on``, Compose's own label, links, namespaces and volumes of
other containers. What is needed comes first. Containers on a cycle have no order; they alone are left out.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.updates.labels import PREFIXES, WATCHTOWER
from fleet.updates.snapshot import ContainerState

COMPOSE = "com.docker.compose."
RESTART = "restart"
"""What ``fleet.depends-on=db:restart`` says after the colon."""


class Tie(StrEnum):
    """By what one container needs another."""

    LABEL = "label"
    """A label ``depends-on``: order alone, unless it says restart."""
    COMPOSE = "compose"
    """Compose's ``depends_on``: order, and a restart where its long form says ``restart: true``."""
    LINK = "link"
    """A link of the default network: the engine writes the other's address into this one when it starts."""
    NETWORK = "network"
    """It lives in the other's network: ``network_mode: container:``."""
    PID = "pid"
    """It lives in the other's processes."""
    IPC = "ipc"
    """It lives in the other's shared memory."""
    VOLUMES = "volumes"
    """It was given the other's volumes when it was created: ``volumes_from``."""


_TIES = {tie.value: tie for tie in Tie}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One container needs another; several ties between the same two are one need."""

    dependent: str
    dependency: str
    ties: frozenset[Tie]
    restart: bool = False
    """Whether the dependent is to be restarted after the other one was updated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Every need of one host, by the names of its containers."""

    needs: tuple[Need, ...] = ()
    unclear: tuple[str, ...] = ()
    """For people: what a label names and no single container or service is."""
    _of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What each container needs at first hand."""

    def all_needed_by(self, name: str) -> frozenset[str]:
        """Return what *name* needs, and what that needs; *name* itself only where it is on a cycle."""
        found: set[str] = set()
        ahead = deque(self._of.get(name, ()))
        while ahead:
            other = ahead.popleft()
            if other not in found:
                found.add(other)
                ahead.extend(self._of.get(other, ()))
        return frozenset(found)

    def cycle_of(self, name: str) -> tuple[str, ...]:
        """Return the shortest way from *name* back to itself, with it at both ends; empty where there is none."""
        came: dict[str, str] = {}
        ahead = deque([name])
        while ahead:
            at = ahead.popleft()
            for other in self._of.get(at, ()):
                if other == name:
                    return _way(came, name, at)
                if other not in came:
                    came[other] = at
                    ahead.append(other)
        return ()

    def rank(self, name: str) -> int:
        """Return by what containers are sorted, so that what is needed comes before what needs it: how many *name* needs.

        Of two containers of which one needs the other, and which are on no cycle, the needed one needs strictly less,
        whether or not those between them are updated too.
        """
        return len(self.all_needed_by(name))

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return *names*, what is needed before what needs it, and otherwise as they came."""
        return tuple(sorted(names, key=self.rank))

    def to_restart(self, updated: Iterable[str], recreated: Iterable[str]) -> tuple[str, ...]:
        """Return who is to be restarted after *updated*, in order: only where their need says so, at first hand.

        Those in *recreated* were started anew already. Who needs a restarted one is left alone: it was not updated.
        """
        new, done = set(updated), set(recreated)
        wanted = {n.dependent for n in self.needs if n.restart and n.dependency in new and n.dependent not in done}
        return self.in_order(sorted(wanted))


def graph(states: Sequence[ContainerState]) -> Graph:
    """Return what the containers of one host need of each other."""
    directory = _Directory(states)
    found: dict[tuple[str, str], Need] = {}
    unclear: list[str] = []
    for state in states:
        for tie, named, restart in _told(state):
            others = directory.find(state, tie, named)
            if not others and tie is Tie.LABEL:
                unclear.append(f"{state.name} depends on {named}, which names no container or no single service")
            for other in others:
                known = found.get((state.name, other))
                found[state.name, other] = Need(
                    dependent=state.name,
                    dependency=other,
                    ties=(known.ties if known else frozenset()) | {tie},
                    restart=restart or (known is not None and known.restart),
                )
    needs = tuple(found[key] for key in sorted(found))
    of: dict[str, tuple[str, ...]] = {}
    for need in needs:
        of[need.dependent] = (*of.get(need.dependent, ()), need.dependency)
    return Graph(needs=needs, unclear=tuple(unclear), _of=of)


class _Directory:
    """Which containers a name means: a container's, or a Compose service's, with or without its project."""

    def __init__(self, states: Sequence[ContainerState]) -> None:
        self._names = {state.name for state in states}
        self._services: dict[tuple[str, str], list[str]] = {}
        for state in states:
            service = state.labels.get(COMPOSE + "service", "")
            if service:
                self._services.setdefault((state.labels.get(COMPOSE + "project", ""), service), []).append(state.name)

    def find(self, state: ContainerState, tie: Tie, named: str) -> Sequence[str]:
        project = state.labels.get(COMPOSE + "project", "")
        if tie is Tie.COMPOSE:
            return self._services.get((project, named), ())
        if named in self._names:
            return (named,)
        if tie is not Tie.LABEL:
            return ()
        return self._services.get((project, named)) or self._by_service(named)

    def _by_service(self, named: str) -> Sequence[str]:
        """Return every container of the one service that is meant; nothing where several could be."""
        fitting = [key for key in self._services if named in (key[1], f"{key[0]}-{key[1]}")]
        return self._services[fitting[0]] if len(fitting) == 1 else ()


def _told(state: ContainerState) -> Iterable[tuple[Tie, str, bool]]:
    """Return by what, whom, and whether with a restart, *state* says that it needs others."""
    for prefix in PREFIXES:
        for entry in _entries(state.labels.get(prefix + "depends-on", "")):
            named, _, more = entry.partition(":")
            # Watchtower always restarts who names an updated container in its label: it means the same here.
            yield Tie.LABEL, named.strip().lstrip("/"), prefix == WATCHTOWER or more.strip() == RESTART
    for entry in _entries(state.labels.get(COMPOSE + "depends_on", "")):
        named, _, more = entry.partition(":")
        yield Tie.COMPOSE, named, more.rpartition(":")[2].lower() == "true"
    for entry in state.needs:
        kind, _, named = entry.partition(":")
        if kind in _TIES:  # a newer agent may know more
            yield _TIES[kind], named, False


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _way(came: Mapping[str, str], name: str, at: str) -> tuple[str, ...]:
    """Return the way from *name* to *at* by which the search came, and back to *name*."""
    steps = [at]
    while steps[-1] != name:
        steps.append(came[steps[-1]])
    return (*reversed(steps), name)
