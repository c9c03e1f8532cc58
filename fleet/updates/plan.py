"""What this host will do about a command: one step a target. Pure and total; executing it decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fleet.updates.command import Target, UpdateCommand
from fleet.updates.snapshot import ContainerState

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
_PREFIXES = ("fleet.", "com.centurylinklabs.watchtower.")
"""Whose labels steer an update; the first that says anything wins."""


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
    """The steps of one command on this host, in the order of its targets."""

    steps: tuple[Step, ...]


def plan(command: UpdateCommand, states: Sequence[ContainerState]) -> HostPlan:
    """Return what is to be done about *command* where the host's containers are *states*."""
    by_id = {state.id: state for state in states}
    by_name = {state.name: state for state in states}
    steps: list[Step] = []
    planned: set[str] = set()
    for target in command.targets:
        step = _step(target, by_id.get(target.container_id), by_name.get(target.container))
        if target.container_id in planned:
            step = _skip(target, "the command names it twice")
        planned.add(target.container_id)
        steps.append(step)
    return HostPlan(steps=tuple(steps))


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
    if state.labels.get("fleet.ignore", "").lower() in _TRUE:
        return "its label fleet.ignore says so"
    if _label(state, "enable") in _FALSE:
        return "its label enable=false says so"
    if _label(state, "monitor-only") in _TRUE:
        return "its label monitor-only says so"
    return ""


def _label(state: ContainerState, name: str) -> str:
    for prefix in _PREFIXES:
        if prefix + name in state.labels:
            return state.labels[prefix + name].strip().lower()
    return ""


def _skip(target: Target, reason: str) -> Step:
    return Step(target=target, action=Action.SKIP, reason=f"cannot update {target.container}: {reason}")
