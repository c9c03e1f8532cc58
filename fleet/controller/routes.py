"""Where a host would pull an image from, as far as the centre knows: its policy, and the mirrors that it told of."""

from pydantic import TypeAdapter, ValidationError

from fleet.history.inventory.hosts import HostRow, OwnMirrors
from fleet.images.reference import Reference
from fleet.mirrors.route import Route, route
from fleet.mirrors.source import MirrorRule
from fleet.mirrors.table import MirrorTable
from fleet.road.versions import OWN_WAYS_SINCE, has_own_way
from fleet.updates.command import Policy

_RULES: TypeAdapter[tuple[MirrorRule, ...]] = TypeAdapter(tuple[MirrorRule, ...])


def host_rules(host: HostRow | OwnMirrors) -> tuple[MirrorRule, ...]:
    """Return the mirror rules that *host* has of its own; none where it never told."""
    try:
        return _RULES.validate_python(host.mirrors)
    except ValidationError:
        return ()  # of a version that had other rules: nothing is claimed about them


def untold_rules(policy: Policy, host: HostRow | OwnMirrors | None) -> tuple[MirrorRule, ...]:
    """Return the mirrors of *policy* of which *host* is not told: its agent could not ask them as they say."""
    if host is None or not host.reads or OWN_WAYS_SINCE in host.reads:
        return ()
    return tuple(rule for rule in policy.mirrors if has_own_way(rule))


def table_of(policy: Policy, host: HostRow | OwnMirrors | None = None) -> MirrorTable:
    """Return the mirrors that hold for *host* under *policy*."""
    untold = untold_rules(policy, host)
    return MirrorTable.of(
        [rule for rule in policy.mirrors if rule not in untold],
        host_rules(host) if host else (),
        global_mirrors_for=policy.global_mirrors_for,
        speeds=policy.speeds,
    )


def route_of(reference: Reference, policy: Policy, host: HostRow | OwnMirrors | None = None) -> Route:
    """Return the sources that *host* would try, in order; how they stand at this moment only the host knows."""
    return route(reference, table_of(policy, host))


def route_words(reference: Reference, policy: Policy, host: HostRow | OwnMirrors | None = None) -> tuple[str, ...]:
    """Return the names of the sources, in order."""
    return tuple(source.name for source in route_of(reference, policy, host).sources)
