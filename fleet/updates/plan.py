"""What this host will do about a command: one step a target. Pure and total; executing it decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.updates.command import Target, UpdateCommand
from fleet.updates.labels import TRUE, says
from fleet.updates.order import Graph, graph
from fleet.updates.snapshot import ContainerState


class Action(StrEnum):
    """What is done about one target."""

    UPDATE = "update"
    """Recreate the container under its preconditions."""
    ALREADY_CURRENT = "already_current"
    """It runs the digest already."""
    SKIP = "skip"
    """It must not be touched, for the reason given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One target and what is done about it; the target's ids are the preconditions."""

    target: Target
    action: Action
    reason: str = ""
    """Why it is skipped; begins with "cannot"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The steps of one command on this host: what is needed before what needs it."""

    steps: tuple[Step, ...]
    graph: Graph = field(default_factory=Graph)
    """What the host's containers need of each other."""


def plan(command: UpdateCommand, states: Sequence[ContainerState]) -> HostPlan:
    """Return what is to be done about *command* where the host's containers are *states*.

    The containers that others need come first; those on a cycle of needs are skipped, and no others.
    """
    needs = graph(states)
    by_id = {state.id: state for state in states}
    by_name = {state.name: state for state in states}
    steps: list[Step] = []
    planned: set[str] = set()
    for target in command.targets:
        step = _step(target, by_id.get(target.container_id), by_name.get(target.container))
        if target.container_id in planned:
            step = _skip(target, "the command names it twice")
        planned.add(target.container_id)
        steps.append(_unless_on_a_cycle(step, needs))
    return HostPlan(steps=tuple(sorted(steps, key=lambda step: needs.rank(step.target.container))), graph=needs)


def _unless_on_a_cycle(step: Step, needs: Graph) -> Step:
    cycle = needs.cycle_of(step.target.container) if step.action is Action.UPDATE else ()
    return _skip(step.target, f"its needs go in a circle: {' -> '.join(cycle)}") if cycle else step


def _step(target: Target, state: ContainerState | None, namesake: ContainerState | None) -> Step:
    if state is None and namesake is None:
        return _skip(target, "there is no such container any more")
    if state is None:
        return _skip(target, "another container has its name since the plan was made; plan again")
    if str(target.digest) in state.digests:
        return Step(target=target, action=Action.ALREADY_CURRENT)
    reason = _changed(target, state) or _unwanted(target, state)
    return _skip(target, reason) if reason else Step(target=target, action=Action.UPDATE)


def _changed(target: Target, state: ContainerState) -> str:
    """Return which precondition does not hold, or empty."""
    if state.name != target.container:
        return f"it is named {state.name} now; plan again"
    if state.image_id != target.image_id:
        return "it runs another image than the plan saw; plan again"
    if state.state != "running":
        return f"it is {state.state or 'not running'}, and only running containers are updated"
    return ""


def _unwanted(target: Target, state: ContainerState) -> str:
    """Return why this container must be left alone, or empty."""
    if target.reference.digest is not None:
        return "its reference is pinned to a digest"
    if state.local_build:
        return "its image was built on this host and has no digest of a registry"
    if state.labels.get("fleet.ignore", "").lower() in TRUE:
        return "its label fleet.ignore says so"
    if says(state.labels, "enable") is False:
        return "its label enable=false says so"
    if says(state.labels, "monitor-only"):
        return "its label monitor-only says so"
    if says(state.labels, "no-pull"):
        return "its label no-pull says so"
    return ""


def _skip(target: Target, reason: str) -> Step:
    return Step(target=target, action=Action.SKIP, reason=f"cannot update {target.container}: {reason}")
