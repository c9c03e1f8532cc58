"""Plans: what an update of the fleet would do, and the order to do it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Part, Request
from fleet.api.selectors import Selector


class PlanTarget(Part):
    """One container that would be brought to one digest."""

    container: str
    container_id: str
    image: str
    reference: str
    image_id: str
    old_digest: str = ""
    """Empty: not known."""
    new_digest: str
    route: tuple[str, ...] = ()
    """Where the host would pull from, in order, by the rules that are known."""
    configuration: int | None = None
    """The place in the plan's `configurations` that says what will change; None: not looked at."""


class PlanHost(Part):
    """What would happen on one host."""

    host: str
    host_id: UUID
    targets: tuple[PlanTarget, ...]


class PlanConfiguration(Part):
    """What will become of the configuration of some containers, as far as their images and hosts tell."""

    changes: tuple[str, ...] = ()
    """Lines `path: old -> new`, as outcomes have them; environment by name alone."""
    kept: tuple[str, ...] = ()
    """The paths that stay because the user set them."""
    overridden: tuple[str, ...] = ()
    """Those of them which the new image says otherwise than the old one."""
    unknown: str = ""
    """What of this is not known, and why; empty: all is."""


class PlanSkip(Part):
    """A container that was selected and would not be touched, and why."""

    host: str
    container: str
    reason: str


class Plan(Part):
    """What would be done; it is pinned, and refused once what it saw has changed."""

    id: UUID
    asked_by: str
    created_at: datetime
    expires_at: datetime
    rollout_id: UUID | None = None
    """The rollout that it became; None: not applied."""
    hosts: tuple[PlanHost, ...] = ()
    skipped: tuple[PlanSkip, ...] = ()
    warnings: tuple[str, ...] = ()
    configurations: tuple[PlanConfiguration, ...] = ()
    """What will change in the configuration of the targets, each thing once."""

    @property
    def pinned(self) -> tuple[PlanHost, ...]:
        """What would be done, without the routes, which follow from the mirrors that a host has when it pulls, and without
        what was foreseen.
        """
        told = {"route": (), "configuration": None}
        return tuple(
            host.model_copy(update={"targets": tuple(t.model_copy(update=told) for t in host.targets)})
            for host in self.hosts
        )

    @property
    def changes(self) -> int:
        """How many containers it would touch."""
        return sum(len(host.targets) for host in self.hosts)


class PlanAnswer(Answer):
    """One plan."""

    plan: Plan


class WithSpec(Request):
    """What may name the spec of a rollout, in either form."""

    spec: dict[str, Any] | None = None
    """The rollout's spec as the API writes it; None: one wave without a gate."""
    spec_text: str | None = Field(default=None, max_length=1_000_000)
    """The spec as people write it, YAML or JSON, in place of *spec*; empty: in waves, with the defaults."""
    spec_name: str = Field(default="the rollout's spec", max_length=300)
    """What *spec_text* is called where it cannot be used."""


class MakePlan(WithSpec):
    """Draw a plan for what is selected. A spec is only looked at: what it would run into is among the warnings."""

    selector: Selector = Selector()
    check: bool = True
    """Whether tags are resolved anew first; otherwise what was last seen is taken."""
    configuration: bool = True
    """Whether it says what will change in the containers' configuration; with *check*, registries are asked for that."""


class ApplyPlan(WithSpec):
    """Carry a plan out; it becomes a rollout."""

    reason: str = Field(default="", max_length=500)


class UpdateHost(Request):
    """Plan and apply in one: bring a host, or one container of it, up to date."""

    host: str = Field(min_length=1, max_length=255)
    container: str | None = Field(default=None, min_length=1, max_length=255)
    check: bool = True


class UndoContainer(Request):
    """Bring one container back to what it ran before its latest update."""

    host: str = Field(min_length=1, max_length=255)
    container: str = Field(min_length=1, max_length=255)
    reason: str = Field(default="", max_length=500)


class Ordered(Answer):
    """What became of an order."""

    rollout_id: UUID | None = None
    """The rollout that carries it out; None: there was nothing to do."""
    rollout: int | None = None
    """Its number, ``#42`` for people."""
    plan: Plan
