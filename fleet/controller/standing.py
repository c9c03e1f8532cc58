"""How containers stand to the tags that they follow, and whether they may be updated: pure, and as the agents would decide."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

from fleet.errors import BadInput
from fleet.history.inventory.containers import ContainerLike, ContainerRow
from fleet.history.registries.tags import TagRow
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.rollouts.selection import Selection
from fleet.rollouts.stops import Stop, freezing, keeping
from fleet.rollouts.trust import ResolvePolicy, WithoutOrigin
from fleet.updates.command import Policy, Target, UpdateCommand
from fleet.updates.labels import PREFIXES, duration_ms, label
from fleet.updates.order import COMPOSE, graph
from fleet.updates.plan import Action
from fleet.updates.plan import plan as plan_on_host
from fleet.updates.snapshot import ContainerState

_NOBODY = UUID(int=0)
"""Where the agent's own decision is asked for before there is a command."""
_NO_DIGEST = Digest.of(b"")
"""Stands for a digest that is not known: no container runs it."""
_ANY_ID = "0" * 64
"""Stands for the engine's id of a container: nothing is decided by it."""
_NEEDS = (*(f"{prefix}depends-on" for prefix in PREFIXES), f"{COMPOSE}depends_on")
"""The labels by which a container needs others."""

C = TypeVar("C", bound=ContainerLike)


class Freshness(StrEnum):
    """How a container stands to the tag that it follows."""

    OUTDATED = "outdated"
    """The tag has a digest that the container does not run."""
    CURRENT = "current"
    """It runs the digest that the tag had when it was last asked for, and that went well."""
    UNKNOWN = "unknown"
    """One of the two digests is not known for sure; never shown as fresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStanding(Generic[C]):
    """One container, or all that are like it, how it stands, and whether it may be updated."""

    container: C
    freshness: Freshness
    old_digest: str = ""
    """What runs; empty: not known."""
    new_digest: str = ""
    """What the tag was last seen to have; empty: not known."""
    resolved_at: datetime | None = None
    reason: str = ""
    """Why it is unknown or is left alone; empty where neither."""
    updatable: bool = False
    """Whether a plan would touch it."""


def stand(container: C, tag: TagRow | None) -> ContainerStanding[C]:
    """Return how *container* stands to *tag*, the tag that it follows (None: never checked)."""
    try:
        reference = Reference.parse(container.reference)
    except BadInput:
        return _unknown(container, "it was started by an image id, so it follows no tag")
    if reference.digest or not container.image:
        return _unknown(container, "its reference is pinned to a digest")
    refused = _refused_by_agent(container, reference, tag)
    if tag is None or not tag.digest:
        why = refused or (tag.reason if tag and tag.reason else "its tag was not checked yet")
        return _unknown(container, why)
    if tag.digest in container.digests:
        return _current(container, tag)
    known = bool(container.digests) and not container.local_build
    return ContainerStanding(
        container=container,
        freshness=Freshness.OUTDATED if known else Freshness.UNKNOWN,
        old_digest=container.digests[0] if container.digests else "",
        new_digest=tag.digest,
        resolved_at=tag.resolved_at,
        reason=refused or ("" if known else "cannot tell which digest it runs"),
        updatable=not refused,
    )


def choose(standing: ContainerStanding[C], selection: Selection) -> ContainerStanding[C]:
    """Return *standing*, not to be updated where its host's policy leaves it out, with the reason."""
    if not standing.updatable:
        return standing
    container = standing.container
    reason = selection.leaves_out(container.name, container.image, container.labels)
    told = f"cannot update {container.name}: {reason}"
    return replace(standing, updatable=False, reason=told) if reason else standing


def trusted(
    standing: ContainerStanding[C], tag: TagRow | None, resolve: ResolvePolicy, now: datetime | None
) -> ContainerStanding[C]:
    """Return *standing*, not to be updated where what is known of its tag is not believed, or not yet.

    Without *now* no digest is too young. The container's label cooldown-delay wins over the policy's least age.
    """
    if not standing.updatable or tag is None:
        return standing
    if tag.refused_digest or (tag.reason and resolve.without_origin is WithoutOrigin.FAIL):
        return replace(standing, updatable=False, reason=tag.reason)
    if written := label(standing.container.labels, "cooldown-delay"):
        least_ms = duration_ms(written)
        if least_ms is None:
            told = f"cannot update {standing.container.name}: its label cooldown-delay is no duration, such as 3d"
            return replace(standing, updatable=False, reason=told)
        resolve = replace(resolve, min_age_ms=least_ms)
    wait = resolve.too_young(tag.first_seen_at, now) if now else None
    if wait is None:
        return standing
    seen = f"since {tag.first_seen_at:%Y-%m-%d %H:%M} UTC" if tag.first_seen_at else "only now"
    reason = (
        f"{tag.digest[:19]} is younger than its policy or label asks for: Fleet has seen it {seen}, and it may go in"
        f" {_rounded(wait)}"
    )
    return replace(standing, updatable=False, reason=reason)


def _rounded(wait: timedelta) -> str:
    minutes = -(-int(wait.total_seconds()) // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} d"


def without_circles(standings: Sequence[ContainerStanding[ContainerRow]]) -> list[ContainerStanding[ContainerRow]]:
    """Return *standings*, those whose needs go in a circle not to be updated.

    Only labels are known here: a circle through a namespace of the engine's own is found by the host.
    """
    on_host: dict[UUID, list[ContainerRow]] = defaultdict(list)
    for standing in standings:
        on_host[standing.container.host_id].append(standing.container)
    cycles = {host_id: cycles_of(rows) for host_id, rows in on_host.items()}
    return [unless_in_circle(s, cycles[s.container.host_id]) for s in standings]


def cycles_of(containers: Sequence[ContainerLike]) -> Mapping[str, tuple[str, ...]]:
    """Return of one host's *containers* those whose needs go in a circle, by name, with the way round."""
    if not any(needs_others(each) for each in containers):
        return {}
    needs = graph([_state(each) for each in containers])
    return {each.name: cycle for each in containers if (cycle := needs.cycle_of(each.name))}


def needs_others(container: ContainerLike) -> bool:
    """Tell whether a label of *container* says that it needs others."""
    return any(name in container.labels for name in _NEEDS)


def unless_in_circle(standing: ContainerStanding[C], cycles: Mapping[str, tuple[str, ...]]) -> ContainerStanding[C]:
    """Return *standing*, not to be updated where its container is on one of the *cycles*."""
    name = standing.container.name
    if not standing.updatable or name not in cycles:
        return standing
    told = f"cannot update {name}: its needs go in a circle: {' -> '.join(cycles[name])}"
    return replace(standing, updatable=False, reason=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What people said shall not be updated at this moment."""

    stops: Sequence[Stop] = ()
    labels: Mapping[UUID, Mapping[str, str]] = field(default_factory=dict)
    """The labels of each host."""

    def keep(
        self, standing: ContainerStanding[C], host: str, labels: Mapping[str, str], *, frozen: bool = True
    ) -> ContainerStanding[C]:
        """Return the standing of a container of *host*, not to be updated where something holds it.

        A freeze counts unless *frozen* is allowed.
        """
        if not self.stops or not standing.updatable:
            return standing
        c = standing.container
        held = keeping(self.stops, host, labels, c.name, c.image, standing.new_digest)
        held = held or (None if frozen else freezing(self.stops, host, labels))
        return replace(standing, updatable=False, reason=held.words) if held else standing


def _unknown(container: C, reason: str) -> ContainerStanding[C]:
    old = container.digests[0] if container.digests else ""
    return ContainerStanding(container=container, freshness=Freshness.UNKNOWN, old_digest=old, reason=reason)


def _current(container: C, tag: TagRow) -> ContainerStanding[C]:
    """Return that it runs what the tag has; where the last check failed, that is only what it once had."""
    return ContainerStanding(
        container=container,
        freshness=Freshness.UNKNOWN if tag.reason else Freshness.CURRENT,
        old_digest=tag.digest,
        new_digest=tag.digest,
        resolved_at=tag.resolved_at,
        reason=tag.reason,
    )


def _refused_by_agent(container: ContainerLike, reference: Reference, tag: TagRow | None) -> str:
    """Return why the agent would leave the container alone, or empty: the same decision, by the same function."""
    target = Target(
        update_id=_NOBODY,
        container_id=_ANY_ID,
        container=container.name,
        image_id=container.image_id,
        reference=reference,
        digest=Digest.parse(tag.digest) if tag and tag.digest else _NO_DIGEST,
    )
    state = _state(container)
    command = UpdateCommand(id=_NOBODY, targets=(target,), policy=Policy(), pull_ids={})
    (step,) = plan_on_host(command, [state]).steps
    return step.reason if step.action is Action.SKIP else ""


def _state(container: ContainerLike) -> ContainerState:
    """Return *container* as its agent told of it, but for its id."""
    return ContainerState(
        id=_ANY_ID,
        name=container.name,
        reference=container.reference,
        image_id=container.image_id,
        digests=container.digests,
        state=container.state,
        labels=container.labels,
        local_build=container.local_build,
    )
