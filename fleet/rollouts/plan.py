"""What a plan says: which container of which host shall run which digest, and what was seen when it was made.

``fleet plan`` makes it, people read it, and ``fleet apply`` refuses it once what it saw has changed.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fleet.errors import BadInput
from fleet.updates.foresight import Foresight

_FORBID = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedContainer:
    """One container that shall run another digest."""

    __pydantic_config__ = _FORBID

    container_id: str
    """The engine's 64-digit id that was seen; another one makes the plan stale."""
    container: str
    """Its name."""
    image_id: str
    """The engine's id of the image that was seen to run; another one makes the plan stale."""
    reference: str
    """The reference as the user wrote it."""
    image: str
    """The canonical registry/repository:tag that it follows."""
    digest: str
    """What the tag had, and what shall run; pinned. The tag's having another one makes the plan stale."""
    old_digest: str = ""
    """The digest that runs; empty where it is not known."""
    back: bool = False
    """Whether *digest* is what ran before, and not what the tag has: then the tag's moving makes nothing stale."""
    configuration: int | None = None
    """The place in *configurations* of the plan that says what will change in its configuration; None: not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHost:
    """One host, with what shall be updated on it."""

    __pydantic_config__ = _FORBID

    host_id: UUID
    host: str
    """Its name, for people."""
    policy: str
    """The hash of the policy that held for it; another one makes the plan stale."""
    containers: tuple[PlannedContainer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A container that was looked at, and why it is not touched."""

    __pydantic_config__ = _FORBID

    host: str
    container: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDocument:
    """The plan in full."""

    __pydantic_config__ = _FORBID

    version: Literal[1] = 1
    hosts: tuple[PlannedHost, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    """For people, each a sentence."""
    configurations: tuple[Foresight, ...] = ()
    """What will change in the configuration of containers, each thing once: most hosts of a fleet are alike."""

    @classmethod
    def parse(cls, document: Any) -> "PlanDocument":
        """Read a plan from its document; raises BadInput where it is none."""
        try:
            return _ADAPTER.validate_python(document)
        except ValidationError as broken:
            first = broken.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise BadInput(f"cannot use the plan: {where}: {first['msg']}") from None

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON holds it; :meth:`parse` reads it back."""
        written: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return written

    @property
    def containers(self) -> int:
        """How many containers shall be updated."""
        return sum(len(host.containers) for host in self.hosts)

    def in_order(self, seed: UUID) -> tuple[PlannedHost, ...]:
        """Return the hosts in the order in which a rollout takes them: shuffled, and the same for the same seed."""

        def place(host: PlannedHost) -> bytes:
            return hashlib.sha256(seed.bytes + host.host_id.bytes).digest()

        return tuple(sorted((host for host in self.hosts if host.containers), key=place))


_ADAPTER: TypeAdapter[PlanDocument] = TypeAdapter(PlanDocument)
