"""Mirrors: which there are, and the route that a pull would take."""

from datetime import datetime

from fleet.api.form import Answer, Part
from fleet.mirrors.policy import CONFIG
from fleet.mirrors.source import Provenance, Role
from fleet.mirrors.table import Strategy


class MirrorEntry(Part):
    """One mirror rule of one host or of policy."""

    host: str
    """The host whose own rule it is; empty: a rule of policy."""
    for_registry: str
    """A registry, or ``*``."""
    endpoint: str
    provenance: Provenance
    where: str = ""
    """The file or policy that it was read from."""
    insecure: bool = False
    resolve: bool = False
    auth: str = CONFIG
    """Who hosts are there: ``config`` (as their Docker configuration says), ``none``, or a login of theirs by its name."""
    proxy: str = ""
    """By which proxy: a URL, ``none``, one of the host's by its name; empty: as the host's environment says."""
    holds_on: str = ""
    """Of a rule of policy: the hosts that it holds on, in words; empty: a host's own rule."""


class Mirrors(Answer):
    """All mirror rules."""

    mirrors: tuple[MirrorEntry, ...]
    fastest_on: tuple[str, ...] = ()
    """The hosts whose policy asks the fastest mirror first; all others ask in the order of the rules."""
    tier: str = ""
    """By which way the engine of the one host that was named got its last image; empty: not known, or no host named."""


class RouteStop(Part):
    """One source of a route."""

    endpoint: str
    role: Role
    for_registry: str = ""
    """The rule's registry or ``*``; empty for the origin."""
    provenance: str = ""
    where: str = ""
    state: str = ""
    """What a mirror was when the host last looked at it (``ok``, ``down``, ``stale``, ...); empty: it did not lately."""
    state_reason: str = ""
    looked_at: datetime | None = None
    digest: str = ""
    """What it said that the tag has, where it was asked for this image; empty: it was not, or did not say."""
    took_ms: int | None = None
    """How long a mirror took to answer then; null: it was not asked for this image."""
    bytes_per_s: int | None = None
    """How fast it is by what the host measured, where that decides who is asked first; null: it does not, or not known."""
    auth: str = CONFIG
    """As of a rule."""
    proxy: str = ""
    """As of a rule."""


class RouteSkip(Part):
    """A rule that did not become a source, and why."""

    endpoint: str
    reason: str


class HostRoute(Part):
    """The route of one host."""

    host: str
    """Empty: a host without rules of its own."""
    strategy: Strategy = Strategy.ORDER
    """In which order it asks mirrors."""
    sources: tuple[RouteStop, ...]
    skipped: tuple[RouteSkip, ...] = ()


class Explanation(Answer):
    """Where an image would be pulled from, in order, and what is known of its tag."""

    image: str
    """As it was asked for."""
    reference: str
    """In full."""
    digest: str = ""
    """What the tag was last seen to have; empty: not known."""
    resolved_at: datetime | None = None
    endpoint: str = ""
    """Who said so."""
    reason: str = ""
    """Why the last check failed; empty where it did not."""
    routes: tuple[HostRoute, ...]
