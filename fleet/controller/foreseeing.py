"""Adds to a plan what will change in the configuration of its containers, as far as their images can be looked at."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID

from fleet.controller.image_configs import Config, ImageConfigs, ImageOf, Unreadable
from fleet.controller.resolving import Asking, is_low
from fleet.controller.routes import route_of
from fleet.history.containers import ContainerRow
from fleet.history.database import Database
from fleet.history.limits import limits
from fleet.history.policies import EffectivePolicy
from fleet.images.reference import Reference
from fleet.mirrors.source import Source
from fleet.rollouts.plan import PlanDocument, PlannedContainer
from fleet.updates.foresight import Foresight, foresee

Rows = Mapping[tuple[UUID, str], ContainerRow]
"""The containers by host and id."""


def with_foresight(
    db: Database,
    plan: PlanDocument,
    rows: Rows,
    policies: Mapping[UUID, EffectivePolicy],
    configs: ImageConfigs,
    asking: Asking | None,
) -> PlanDocument:
    """Return *plan* with what will change; each image is asked for once, by the mirrors of a policy that holds for it."""
    wanted: dict[ImageOf, tuple[Source, ...]] = {}
    for host in plan.hosts:
        for planned in host.containers:
            row = rows[host.host_id, planned.container_id]
            for image in filter(None, _images(planned, row)):
                if image not in wanted:
                    wanted[image] = route_of(Reference.parse(planned.reference), policies[host.host_id].policy).sources
    now = db.now()
    spent = {
        urlsplit(limit.endpoint).netloc
        for limit in limits(db)
        if limit.holds(now) and is_low(limit.remaining, limit.limit)
    }
    return attach(plan, rows, configs.look(wanted, asking, spent=spent))


def attach(plan: PlanDocument, rows: Rows, known: Mapping[ImageOf, Config | Unreadable]) -> PlanDocument:
    """Return *plan* with what will change, each thing once, where the images are *known* (pure)."""
    told = _Told(known)
    hosts = tuple(
        replace(
            host,
            containers=tuple(
                replace(each, configuration=told.place(each, rows[host.host_id, each.container_id]))
                for each in host.containers
            ),
        )
        for host in plan.hosts
    )
    return replace(plan, hosts=hosts, configurations=tuple(told.places))


class _Told:
    """What was foreseen so far; hosts of a fleet are mostly alike, so each thing is thought through once."""

    def __init__(self, known: Mapping[ImageOf, Config | Unreadable]) -> None:
        self._known = known
        self._by_cause: dict[object, int] = {}
        self.places: dict[Foresight, int] = {}

    def place(self, planned: PlannedContainer, row: ContainerRow) -> int:
        """Return the place of what will change in one container."""
        cause = (*_images(planned, row), row.own)
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


def _images(planned: PlannedContainer, row: ContainerRow) -> tuple[ImageOf | None, ImageOf | None]:
    """Return the old image and the new one; None where it is not known which that is."""
    name = Reference.parse(planned.reference).name
    digests = (planned.old_digest, planned.digest)
    old, new = (ImageOf(name=name, digest=d, platform=row.platform) if d and row.platform else None for d in digests)
    return old, new
