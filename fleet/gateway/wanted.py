"""What is fetched, and what fetching needs."""

import asyncio
from dataclasses import dataclass

from fleet.clock import Clock
from fleet.gateway.ledger import Ledger
from fleet.gateway.limits import Limits
from fleet.gateway.upstreams import Upstreams
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.breakers import Breakers
from fleet.mirrors.strangers import Strangers
from fleet.mirrors.table import MirrorTable
from fleet.registry.address import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is fetched, of which repository."""

    reference: Reference
    kind: Kind
    digest: Digest
    size: int | None
    """Bytes; None where no manifest told."""
    cap: int
    """The most bytes that are taken."""
    whole: bool = False
    """Whether it is taken from one source in one piece, as manifests are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What fetching needs, the same for everything that one pull fetches."""

    table: MirrorTable
    own: frozenset[str]
    upstreams: Upstreams
    breakers: Breakers
    strangers: Strangers
    ledger: Ledger
    limits: Limits
    clock: Clock
    spare: asyncio.Semaphore
    """The connections that may be had beside one for each blob."""
    via: str
    """The value of the Via header, by which a request that comes back is known."""
