"""Which sources one reference is pulled from, in which order (pure): its own mirrors, global mirrors, the origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.images.reference import Reference
from fleet.mirrors.source import Endpoint, Role, Source
from fleet.mirrors.table import MirrorTable
from fleet.registry.address import origin_address


class Omission(StrEnum):
    """Why a source is not asked."""

    BREAKER = "breaker"
    """It failed a moment ago."""
    ABSENT = "absent"
    """It is known not to have what is wanted."""
    ORIGIN_ITSELF = "origin"
    """The mirror is the registry that the reference names."""
    LOOP = "loop"
    """The mirror is this agent's own gateway: the request would come back here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the sources stand at this moment; made without arguments, all well."""

    open: Mapping[str, str] = field(default_factory=dict)
    """Sources (by name) whose breaker is open, and why."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Sources (by name) that cannot give what is wanted now, and why; unlike an open breaker that is never ignored."""
    own: frozenset[str] = frozenset()
    """Hosts with port under which this agent's own gateway listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """One source that is not asked, and why."""

    source: Source
    omission: Omission
    reason: str
    """For people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The sources of one pull in order, and those that were left out."""

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...] = ()
    ignored_breakers: bool = False
    """Whether every breaker was open, so that all are asked all the same."""


def route(reference: Reference, table: MirrorTable, standing: Standing | None = None) -> Route:
    """Return where *reference* is pulled from.

    Order is policy alone: the registry's own mirrors, the global ones, the origin. How sources stand only leaves some
    out, and where that would leave none, breakers are ignored.
    """
    standing = standing or Standing()
    skipped: list[Skipped] = []
    usable: list[Source] = []
    for source in _sources(reference, table):
        left_out = _never(source, reference, standing)
        if left_out:
            skipped.append(left_out)
        else:
            usable.append(source)
    closed = [source for source in usable if source.name not in standing.open]
    if not closed:
        return Route(sources=tuple(usable), skipped=tuple(skipped), ignored_breakers=bool(usable))
    tripped = [source for source in usable if source.name in standing.open]
    skipped += [Skipped(source=s, omission=Omission.BREAKER, reason=standing.open[s.name]) for s in tripped]
    return Route(sources=tuple(closed), skipped=tuple(skipped))


def origin_endpoint(registry: str, table: MirrorTable) -> Endpoint:
    """Return where the registry that references name as *registry* is asked."""
    address = origin_address(registry, insecure=table.insecure)
    return Endpoint(scheme=address.scheme, host=address.host, insecure=address.insecure)


def _sources(reference: Reference, table: MirrorTable) -> list[Source]:
    mirrors = table.mirrors_of(reference.registry)
    origin = Source(endpoint=origin_endpoint(reference.registry, table), role=Role.ORIGIN)
    return [*(Source(endpoint=rule.endpoint, role=Role.MIRROR, rule=rule) for rule in mirrors), origin]


def _never(source: Source, reference: Reference, standing: Standing) -> Skipped | None:
    """Return why *source* must not be asked at all, None where it may be."""
    host = source.endpoint.host.lower()
    if host in standing.own:
        return Skipped(source=source, omission=Omission.LOOP, reason="it is this agent's own gateway")
    if source.role is Role.MIRROR and host in _names_of(reference.registry):
        return Skipped(source=source, omission=Omission.ORIGIN_ITSELF, reason="it is the origin itself")
    if source.name in standing.absent:
        return Skipped(source=source, omission=Omission.ABSENT, reason=standing.absent[source.name])
    return None


def _names_of(registry: str) -> frozenset[str]:
    """Return the hosts under which *registry* itself answers."""
    return frozenset({registry.lower(), origin_address(registry).host.lower()})
