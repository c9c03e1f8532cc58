"""The plan that follows from how containers stand: which hosts, which pins, what is left out and why, what to be warned of. Pure."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import groupby
from operator import attrgetter, itemgetter

from fleet.controller.standing import (
    ContainerStanding,
    Freshness,
    Stopped,
    choose,
    cycles_of,
    needs_others,
    stand,
    trusted,
    unless_in_circle,
)
from fleet.history.inventory.containers import ContainerLike
from fleet.history.registries.tags import TagRow
from fleet.history.rollouts.alike import Alike, Placed
from fleet.history.rollouts.tried_before import TriedBefore
from fleet.history.rules.policies import EffectivePolicy
from fleet.rollouts.naming import FEW, named
from fleet.rollouts.plan import Columns, LeftOut, Pin, PlanDocument
from fleet.rollouts.stops import Stop, freezing

Standing = ContainerStanding[ContainerLike]
"""How all containers that are alike stand."""
_Each = list[tuple[Placed, Standing]]
"""Containers, each with how it and all like it stand."""


_NEVER = TriedBefore()


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
    tried: TriedBefore = _NEVER,
    unattended: bool = False,
    now: datetime | None = None,
) -> Drawn:
    """Return the plan that brings containers to their *tags*.

    What an agent would leave alone is left out here already, with the agent's own reason; so is what is *stopped*, and
    so are digests that are younger at *now* than a host's policy asks for, and tags whose answer is not believed. Frozen
    hosts are warned about, and so is what was *tried* before and went back; where nobody looks, *unattended*, both are
    left out, as is what a rollout is bringing already. Those that are alike are thought through once.
    """
    each = _stopped(alike, _judged(alike, tags, now), stopped, frozen=not unattended)
    each = _not_again(each, tried) if unattended else each
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
            warnings=(*_warnings(alike, chosen, tags), *_again(chosen, tried), *_frozen(alike, chosen, stopped)),
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
    if not any(map(needs_others, alike.likes)):
        return each

    @cache
    def cycles(likes: tuple[int, ...]) -> Mapping[str, tuple[str, ...]]:
        return cycles_of([alike.likes[like] for like in likes])

    found: _Each = []
    for _, of_host in groupby(each, key=_host_of):
        together = list(of_host)
        round_ = cycles(tuple(placed.like for placed, _ in together))
        found += [
            (placed, unless_in_circle(at_first(placed.like, placed.home), round_) if placed.name in round_ else s)
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


def _not_again(each: _Each, tried: TriedBefore) -> _Each:
    """Return how each container stands, with what the clock leaves to people."""
    return [
        (
            placed,
            replace(standing, updatable=False, reason=why) if (why := _why(tried, placed, standing)) else standing,
        )
        for placed, standing in each
    ]


def _why(tried: TriedBefore, placed: Placed, standing: Standing) -> str:
    if not standing.updatable:
        return ""
    return tried.why(placed.host_id, placed.name, standing.container.image, standing.new_digest)


def _again(chosen: _Each, tried: TriedBefore) -> Iterator[str]:
    """Yield what came of it where it was tried before."""
    by_reason: dict[str, list[str]] = {}
    for placed, standing in chosen:
        if why := _why(tried, placed, standing):
            by_reason.setdefault(why, []).append(f"{placed.host}/{placed.name}")
    for why, names in sorted(by_reason.items()):
        yield f"{why}: {named(names)}"


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
