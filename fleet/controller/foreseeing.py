"""Adds to a plan what will change in the configuration of its containers, as far as their images can be looked at."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from fleet.controller.draw import Drawn
from fleet.controller.image_configs import Config, ImageConfigs, ImageOf, Unreadable
from fleet.controller.resolving import Asking, is_low
from fleet.controller.routes import route_of
from fleet.history.inventory.containers import ContainerLike
from fleet.history.registries.limits import limits
from fleet.history.sql.database import Database
from fleet.images.reference import Reference
from fleet.mirrors.source import Source
from fleet.rollouts.plan import Pin, PlanDocument
from fleet.updates.foresight import Foresight, foresee


def with_foresight(db: Database, drawn: Drawn, configs: ImageConfigs, asking: Asking | None) -> PlanDocument:
    """Return the plan with what will change; each image is asked for once, by the mirrors of a policy that holds for it."""
    hosts = drawn.document.hosts
    wanted: dict[ImageOf, tuple[Source, ...]] = {}
    for shape in hosts.shapes:
        for place in shape.pins:
            pin = hosts.pins[place]
            for image in filter(None, _images(pin, drawn.likes[place])):
                if image not in wanted:
                    held = drawn.policies[shape.policy].policy
                    wanted[image] = route_of(Reference.parse(pin.reference), held).sources
    now = db.now()
    spent = {
        urlsplit(limit.endpoint).netloc
        for limit in limits(db)
        if limit.holds(now) and is_low(limit.remaining, limit.limit)
    }
    return attach(drawn, configs.look(wanted, asking, spent=spent))


def attach(drawn: Drawn, known: Mapping[ImageOf, Config | Unreadable]) -> PlanDocument:
    """Return the plan with what will change, each thing once, where the images are *known* (pure)."""
    told = _Told(known)
    hosts = drawn.document.hosts
    pins = tuple(
        replace(pin, configuration=told.place(pin, like)) for pin, like in zip(hosts.pins, drawn.likes, strict=True)
    )
    return replace(drawn.document, hosts=replace(hosts, pins=pins), configurations=tuple(told.places))


class _Told:
    """What was foreseen so far; hosts of a fleet are mostly alike, so each thing is thought through once."""

    def __init__(self, known: Mapping[ImageOf, Config | Unreadable]) -> None:
        self._known = known
        self._by_cause: dict[object, int] = {}
        self.places: dict[Foresight, int] = {}

    def place(self, pin: Pin, like: ContainerLike) -> int:
        """Return the place of what will change in the containers of one pin."""
        cause = (*_images(pin, like), like.own)
        if cause not in self._by_cause:
            self._by_cause[cause] = self.places.setdefault(self._foresight(*cause), len(self.places))
        return self._by_cause[cause]

    def _foresight(self, old: ImageOf | None, new: ImageOf | None, own: tuple[str, ...] | None) -> Foresight:
        if old is None or new is None:
            why = "which image it runs is not known, so neither is what differs in the new one"
            return Foresight(kept=own or (), unknown=why)
        before, after = self._known[old], self._known[new]
        if isinstance(before, Unreadable):
            return _not_known(old, before, own)
        if isinstance(after, Unreadable):
            return _not_known(new, after, own)
        told = foresee(before, after, own or ())
        return told if own is not None else replace(told, unknown=_OWN_NOT_TOLD)


def _not_known(image: ImageOf, why: Unreadable, own: tuple[str, ...] | None) -> Foresight:
    """Return what is known all the same: what stays."""
    return Foresight(kept=own or (), unknown=f"the centre cannot look at {image}: {why.reason}")


_OWN_NOT_TOLD = "what its user set was not told by its host, and stays whatever is said here"


def _images(pin: Pin, like: ContainerLike) -> tuple[ImageOf | None, ImageOf | None]:
    """Return the old image and the new one; None where it is not known which that is."""
    name = Reference.parse(pin.reference).name
    digests = (pin.old_digest, pin.digest)
    old, new = (ImageOf(name=name, digest=d, platform=like.platform) if d and like.platform else None for d in digests)
    return old, new
