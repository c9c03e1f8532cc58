"""How containers stand to their tags, and the plan that follows: pure, and as the agents themselves would decide."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Generic, TypeVar
from uuid import UUID

from fleet.errors import BadInput
from fleet.history.alike import Alike, Placed
from fleet.history.containers import ContainerLike, ContainerRow
from fleet.history.policies import EffectivePolicy
from fleet.history.tags import TagRow
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.rollouts.naming import FEW, named
from fleet.rollouts.plan import Columns, LeftOut, Pin, PlanDocument
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
    cycles = {host_id: _cycles(rows) for host_id, rows in on_host.items()}
    return [_unless_in_circle(s, cycles[s.container.host_id]) for s in standings]


def _cycles(containers: Sequence[ContainerLike]) -> Mapping[str, tuple[str, ...]]:
    """Return of one host's *containers* those whose needs go in a circle, by name, with the way round."""
    if not any(_needs(each) for each in containers):
        return {}
    needs = graph([_state(each) for each in containers])
    return {each.name: cycle for each in containers if (cycle := needs.cycle_of(each.name))}


def _needs(container: ContainerLike) -> bool:
    return any(name in container.labels for name in _NEEDS)


def _unless_in_circle(standing: ContainerStanding[C], cycles: Mapping[str, tuple[str, ...]]) -> ContainerStanding[C]:
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


Standing = ContainerStanding[ContainerLike]
"""How all containers that are alike stand."""
_Each = list[tuple[Placed, Standing]]
"""Containers, each with how it and all like it stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A plan, with what its pins were drawn from."""

    document: PlanDocument
    likes: tuple[ContainerLike, ...]
    """Of each pin all that the containers have in common."""
    policies: Mapping[str, EffectivePolicy]
    """What holds for the hosts, by its hash."""


def draw(
    alike: Alike,
    tags: Mapping[str, TagRow],
    *,
    stopped: Sequence[Stop] = (),
    frozen: bool = True,
    now: datetime | None = None,
) -> Drawn:
    """Return the plan that brings containers to their *tags*.

    What an agent would leave alone is left out here already, with the agent's own reason; so is what is *stopped*, but
    for frozen hosts where *frozen* allows them: those are warned about; and so are digests that are younger at *now*
    than a host's policy asks for, and tags whose answer is not believed. Those that are alike are thought through once.
    """
    each = _stopped(alike, _judged(alike, tags, now), stopped, frozen)
    chosen = [pair for pair in each if pair[1].updatable]
    left_out = [
        LeftOut(host=placed.host, container=placed.name, reason=s.reason)
        for placed, s in each
        if not s.updatable and s.freshness is not Freshness.CURRENT
    ]
    columns, likes = _columns(alike, chosen)
    return Drawn(
        document=PlanDocument(
            hosts=columns.hosts(),
            left_out=tuple(left_out),
            warnings=(*_warnings(alike, chosen, tags), *_frozen(alike, chosen, stopped)),
        ),
        likes=likes,
        policies={home.policy.hash: home.policy for home in alike.homes},
    )


def _judged(alike: Alike, tags: Mapping[str, TagRow], now: datetime | None) -> _Each:
    """Return how each container stands by its tag, its policy, and the needs of its host's containers."""

    @cache
    def at_first(like: int, home: int) -> Standing:
        container = alike.likes[like]
        return choose(stand(container, tags.get(container.image)), alike.homes[home].policy.selection)

    @cache
    def at_last(like: int, home: int) -> Standing:
        tag = tags.get(alike.likes[like].image)
        return trusted(at_first(like, home), tag, alike.homes[home].policy.resolve, now)

    each = [(placed, at_last(placed[4], placed[5])) for placed in alike.placed]
    if not any(map(_needs, alike.likes)):
        return each

    @cache
    def cycles(likes: tuple[int, ...]) -> Mapping[str, tuple[str, ...]]:
        return _cycles([alike.likes[like] for like in likes])

    found: _Each = []
    for _, of_host in groupby(each, key=_host_of):
        together = list(of_host)
        round_ = cycles(tuple(placed.like for placed, _ in together))
        found += [
            (placed, _unless_in_circle(at_first(placed.like, placed.home), round_) if placed.name in round_ else s)
            for placed, s in together
        ]
    return found


def _host_of(pair: tuple[Placed, Standing]) -> str:
    return pair[0].host_id


def _stopped(alike: Alike, each: _Each, stops: Sequence[Stop], frozen: bool) -> _Each:
    if not stops:
        return each
    holding = Stopped(stops=stops)
    return [
        (placed, holding.keep(standing, placed.host, alike.homes[placed.home].labels, frozen=frozen))
        for placed, standing in each
    ]


def _columns(alike: Alike, chosen: _Each) -> tuple[Columns, tuple[ContainerLike, ...]]:
    """Return the hosts of the plan, and of each pin what its containers have in common."""
    columns, likes, pins = Columns(), dict[int, ContainerLike](), dict[int, int]()
    for like, standing in {placed.like: standing for placed, standing in chosen}.items():
        container = standing.container
        # What is foreseen of containers is not the same where their users set other things.
        pins[like] = columns.pin(_pin(standing), apart=(container.platform, container.own))
        likes.setdefault(pins[like], container)
    hashes = [home.policy.hash for home in alike.homes]
    shapes: dict[tuple[int, tuple[int, ...]], int] = {}
    for host_id, of_host in groupby(map(_PLACED, chosen), key=_HOST_ID):
        # Columns of what runs on the host: nothing else is done for each of 100,000.
        names, _, _, ids, here, homes = zip(*of_host, strict=True)
        shape = shapes.get((homes[0], here))
        if shape is None:
            shape = columns.shape(hashes[homes[0]], tuple(pins[like] for like in here))
            shapes[homes[0], here] = shape
        columns.add_of(shape, host_id, names[0], ids)
    return columns, tuple(likes.values())


_PLACED, _HOST_ID = itemgetter(0), attrgetter("host_id")


def _pin(standing: Standing) -> Pin:
    container = standing.container
    return Pin(
        container=container.name,
        image_id=container.image_id,
        reference=container.reference,
        image=container.image,
        digest=standing.new_digest,
        old_digest=standing.old_digest,
    )


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


def _warnings(alike: Alike, chosen: _Each, tags: Mapping[str, TagRow]) -> Iterator[str]:
    for name, heard in sorted(
        {(p.host, alike.away[p.host_id]) for p, _ in chosen if p.host_id in alike.away}, key=_NAME
    ):
        when = f"was last heard of at {heard:%Y-%m-%d %H:%M} UTC" if heard else "was never heard of"
        yield f"host {name} {when}: its updates wait until it is back, and expire with the rollout"
    likes = set(map(_LIKE, map(_PLACED, chosen)))
    if unwatched := {like for like in likes if not alike.likes[like].health}:
        yield f"no HEALTHCHECK, so running without a restart has to do: {_named(chosen, unwatched)}"
    if kept := {like for like in likes if alike.likes[like].keeps}:
        paths = {like: _first_of(alike.likes[like].keeps) for like in kept}
        yield f"keeps data, which a way back leaves as the new version made it: {_named(chosen, kept, paths)}"
    unsure = [f"{p.host}/{p.name}" for p, s in chosen if s.freshness is Freshness.UNKNOWN]
    if unsure:
        yield f"cannot tell which digest runs now, so the host decides: {named(unsure)}"
    images = {alike.likes[like].image for like in likes}
    for image in sorted(image for image in images if tags[image].reason):
        yield f"the last check of {image} failed, so an older answer is planned: {tags[image].reason}"


_NAME, _LIKE = itemgetter(0), attrgetter("like")


def _named(chosen: _Each, likes: Container[int], more: Mapping[int, str] | None = None) -> str:
    """Return the first few of the containers that are like these, and how many others there are; with *more* of each."""
    found = [placed for placed, _ in chosen if placed.like in likes]
    told = more or {}
    return named([f"{p.host}/{p.name}{told.get(p.like, '')}" for p in found[:FEW]], count=len(found))


def _first_of(keeps: Sequence[str]) -> str:
    """Return the first place where a container keeps something."""
    first, *more = keeps
    return f" ({first}{f' and {len(more)} more' if more else ''})"


def _frozen(alike: Alike, chosen: _Each, stops: Sequence[Stop]) -> Iterable[str]:
    by_stop: dict[str, set[str]] = {}
    for placed, _ in chosen if stops else ():
        if stop := freezing(stops, placed.host, alike.homes[placed.home].labels):
            by_stop.setdefault(stop.words, set()).add(placed.host)
    for words, names in sorted(by_stop.items()):
        yield f"{words}; until then the updates wait of: {named(sorted(names))}"
