"""How containers stand to their tags, and the plan that follows: pure, and as the agents themselves would decide."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from types import MappingProxyType
from uuid import UUID

from fleet.errors import BadInput
from fleet.history.containers import ContainerRow
from fleet.history.policies import EffectivePolicy
from fleet.history.tags import TagRow
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.rollouts.naming import named
from fleet.rollouts.plan import LeftOut, PlanDocument, PlannedContainer, PlannedHost
from fleet.rollouts.selection import Selection
from fleet.rollouts.stops import Stop, freezing, keeping
from fleet.rollouts.trust import ResolvePolicy, WithoutOrigin
from fleet.updates.command import Policy, Target, UpdateCommand
from fleet.updates.labels import duration_ms, label
from fleet.updates.order import Graph, graph
from fleet.updates.plan import Action
from fleet.updates.plan import plan as plan_on_host
from fleet.updates.snapshot import ContainerState

_NOBODY = UUID(int=0)
"""Where the agent's own decision is asked for before there is a command."""
_NO_DIGEST = Digest.of(b"")
"""Stands for a digest that is not known: no container runs it."""


class Freshness(StrEnum):
    """How a container stands to the tag that it follows."""

    OUTDATED = "outdated"
    """The tag has a digest that the container does not run."""
    CURRENT = "current"
    """It runs the digest that the tag had when it was last asked for, and that went well."""
    UNKNOWN = "unknown"
    """One of the two digests is not known for sure; never shown as fresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStanding:
    """One container, how it stands, and whether it may be updated."""

    container: ContainerRow
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


def stand(container: ContainerRow, tag: TagRow | None) -> ContainerStanding:
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


def choose(standing: ContainerStanding, selection: Selection) -> ContainerStanding:
    """Return *standing*, not to be updated where its host's policy leaves it out, with the reason."""
    if not standing.updatable:
        return standing
    container = standing.container
    reason = selection.leaves_out(container.name, container.image, container.labels)
    told = f"cannot update {container.name}: {reason}"
    return replace(standing, updatable=False, reason=told) if reason else standing


def trusted(
    standing: ContainerStanding, tag: TagRow | None, resolve: ResolvePolicy, now: datetime | None
) -> ContainerStanding:
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


def without_circles(standings: Sequence[ContainerStanding]) -> list[ContainerStanding]:
    """Return *standings*, those whose needs go in a circle not to be updated.

    Only labels are known here: a circle through a namespace of the engine's own is found by the host.
    """
    on_host: dict[UUID, list[ContainerRow]] = defaultdict(list)
    for standing in standings:
        on_host[standing.container.host_id].append(standing.container)
    graphs: dict[UUID, Graph] = {}
    for host_id in {s.container.host_id for s in standings if s.updatable}:
        graphs[host_id] = graph([_state(container) for container in on_host[host_id]])
    found = []
    for standing in standings:
        name = standing.container.name
        cycle = graphs[standing.container.host_id].cycle_of(name) if standing.updatable else ()
        told = f"cannot update {name}: its needs go in a circle: {' -> '.join(cycle)}"
        found.append(replace(standing, updatable=False, reason=told) if cycle else standing)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What people said shall not be updated at this moment."""

    stops: Sequence[Stop] = ()
    labels: Mapping[UUID, Mapping[str, str]] = field(default_factory=dict)
    """The labels of each host."""

    def freeze(self, container: ContainerRow) -> Stop | None:
        """Return the freeze that the container's host is under, None: none."""
        return freezing(self.stops, container.host, self.labels.get(container.host_id, {}))

    def keep(self, standing: ContainerStanding, *, frozen: bool = True) -> ContainerStanding:
        """Return *standing*, not to be updated where something holds it; a freeze counts unless *frozen* is allowed."""
        if not self.stops or not standing.updatable:
            return standing
        c = standing.container
        labels = self.labels.get(c.host_id, {})
        held = keeping(self.stops, c.host, labels, c.name, c.image, standing.new_digest)
        held = held or (None if frozen else self.freeze(c))
        return replace(standing, updatable=False, reason=held.words) if held else standing


NOTHING_STOPPED = Stopped()


def draw(
    containers: Sequence[ContainerRow],
    tags: Mapping[str, TagRow],
    policies: Mapping[UUID, EffectivePolicy],
    *,
    away: Mapping[UUID, datetime | None] = MappingProxyType({}),
    stopped: Stopped = NOTHING_STOPPED,
    frozen: bool = True,
    now: datetime | None = None,
) -> PlanDocument:
    """Return the plan that brings *containers* to their *tags*; *away* names silent hosts and when they were heard of.

    What an agent would leave alone is left out here already, with the agent's own reason; so is what is *stopped*, but
    for frozen hosts where *frozen* allows them: those are warned about; and so are digests that are younger at *now*
    than a host's policy asks for, and tags whose answer is not believed.
    """
    here = [c for c in containers if c.host_id in policies]
    standings = without_circles([choose(stand(c, tags.get(c.image)), policies[c.host_id].selection) for c in here])
    standings = [trusted(s, tags.get(s.container.image), policies[s.container.host_id].resolve, now) for s in standings]
    standings = [stopped.keep(standing, frozen=frozen) for standing in standings]
    chosen = [s for s in standings if s.updatable]
    left_out = [
        LeftOut(host=s.container.host, container=s.container.name, reason=s.reason)
        for s in standings
        if not s.updatable and s.freshness is not Freshness.CURRENT
    ]
    return PlanDocument(
        hosts=tuple(_planned(chosen, policies)),
        left_out=tuple(left_out),
        warnings=(*_warnings(chosen, tags, away), *_frozen(chosen, stopped)),
    )


def _unknown(container: ContainerRow, reason: str) -> ContainerStanding:
    old = container.digests[0] if container.digests else ""
    return ContainerStanding(container=container, freshness=Freshness.UNKNOWN, old_digest=old, reason=reason)


def _current(container: ContainerRow, tag: TagRow) -> ContainerStanding:
    """Return that it runs what the tag has; where the last check failed, that is only what it once had."""
    return ContainerStanding(
        container=container,
        freshness=Freshness.UNKNOWN if tag.reason else Freshness.CURRENT,
        old_digest=tag.digest,
        new_digest=tag.digest,
        resolved_at=tag.resolved_at,
        reason=tag.reason,
    )


def _refused_by_agent(container: ContainerRow, reference: Reference, tag: TagRow | None) -> str:
    """Return why the agent would leave the container alone, or empty: the same decision, by the same function."""
    target = Target(
        update_id=_NOBODY,
        container_id=container.id,
        container=container.name,
        image_id=container.image_id,
        reference=reference,
        digest=Digest.parse(tag.digest) if tag and tag.digest else _NO_DIGEST,
    )
    state = _state(container)
    command = UpdateCommand(id=_NOBODY, targets=(target,), policy=Policy(), pull_ids={})
    (step,) = plan_on_host(command, [state]).steps
    return step.reason if step.action is Action.SKIP else ""


def _state(container: ContainerRow) -> ContainerState:
    """Return *container* as its agent told of it."""
    return ContainerState(
        id=container.id,
        name=container.name,
        reference=container.reference,
        image_id=container.image_id,
        digests=container.digests,
        state=container.state,
        labels=container.labels,
        local_build=container.local_build,
    )


def _planned(chosen: Iterable[ContainerStanding], policies: Mapping[UUID, EffectivePolicy]) -> Iterable[PlannedHost]:
    ordered = sorted(chosen, key=lambda s: (s.container.host, s.container.host_id.hex, s.container.name))
    for host_id, group in groupby(ordered, key=lambda s: s.container.host_id):
        standings = list(group)
        yield PlannedHost(
            host_id=host_id,
            host=standings[0].container.host,
            policy=policies[host_id].hash,
            containers=tuple(_planned_container(s) for s in standings),
        )


def _planned_container(standing: ContainerStanding) -> PlannedContainer:
    container = standing.container
    return PlannedContainer(
        container_id=container.id,
        container=container.name,
        image_id=container.image_id,
        reference=container.reference,
        image=container.image,
        digest=standing.new_digest,
        old_digest=standing.old_digest,
    )


def _warnings(
    chosen: Sequence[ContainerStanding], tags: Mapping[str, TagRow], away: Mapping[UUID, datetime | None]
) -> Iterable[str]:
    hosts = {s.container.host_id: s.container.host for s in chosen}
    for host_id, name in sorted(hosts.items(), key=lambda pair: pair[1]):
        if host_id in away:
            heard = away[host_id]
            when = f"was last heard of at {heard:%Y-%m-%d %H:%M} UTC" if heard else "was never heard of"
            yield f"host {name} {when}: its updates wait until it is back, and expire with the rollout"
    unwatched = [f"{s.container.host}/{s.container.name}" for s in chosen if not s.container.health]
    if unwatched:
        yield f"no HEALTHCHECK, so running without a restart has to do: {named(unwatched)}"
    if kept := [_with_paths(s.container) for s in chosen if s.container.keeps]:
        yield f"keeps data, which a way back leaves as the new version made it: {named(kept)}"
    unsure = [f"{s.container.host}/{s.container.name}" for s in chosen if s.freshness is Freshness.UNKNOWN]
    if unsure:
        yield f"cannot tell which digest runs now, so the host decides: {named(unsure)}"
    for image in sorted({s.container.image for s in chosen if tags[s.container.image].reason}):
        yield f"the last check of {image} failed, so an older answer is planned: {tags[image].reason}"


def _with_paths(container: ContainerRow) -> str:
    """Return a container with the first place where it keeps something."""
    first, *more = container.keeps or ("",)
    return f"{container.host}/{container.name} ({first}{f' and {len(more)} more' if more else ''})"


def _frozen(chosen: Sequence[ContainerStanding], stopped: Stopped) -> Iterable[str]:
    by_stop: dict[str, set[str]] = {}
    for standing in chosen:
        if stop := stopped.freeze(standing.container):
            by_stop.setdefault(stop.words, set()).add(standing.container.host)
    for words, names in sorted(by_stop.items()):
        yield f"{words}; until then the updates wait of: {named(sorted(names))}"
