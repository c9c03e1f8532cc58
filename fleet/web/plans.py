"""The routes of plans and orders."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from fastapi import APIRouter

from fleet.api.plans import (
    ApplyPlan,
    MakePlan,
    Ordered,
    Plan,
    PlanAnswer,
    PlanConfiguration,
    PlanHost,
    PlanSkip,
    PlanTarget,
    UndoContainer,
    UpdateHost,
)
from fleet.controller import plans
from fleet.controller.routes import route_words
from fleet.controller.spec_warnings import spec_warnings
from fleet.controller.undo import undo_container
from fleet.history.inventory.hosts import own_mirrors
from fleet.history.mirrors.speeds import measured_policies
from fleet.history.questions import queries
from fleet.history.rollouts.plans import PlanRow
from fleet.history.rollouts.plans import plan as find_plan
from fleet.history.rules.refusing import refused_hosts
from fleet.history.sql.database import Database
from fleet.images.reference import Reference
from fleet.rollouts.plan import Pin, PlannedHosts
from fleet.rollouts.spec import RolloutSpec
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre
from fleet.web.selecting import selector_of, spec_of

router = APIRouter(tags=["plans"])


@router.post("/plans", status_code=201)
def make_plan(centre: ThisCentre, caller: Writer, body: MakePlan) -> PlanAnswer:
    """Draw a plan; nothing is changed."""
    spec = spec_of(body.spec, body.spec_text, body.spec_name)
    asking = centre.asking() if body.check else None
    configs = centre.configs if body.configuration else None
    row = plans.make_plan(centre.db, selector_of(body.selector), by=caller.who, asking=asking, configs=configs)
    return PlanAnswer(plan=_plan(centre, row, spec))


@router.get("/plans/{id}")
def show_plan(centre: ThisCentre, _: Reader, id: str) -> PlanAnswer:
    """Show a plan, by its id or the last 8 digits of it."""
    return PlanAnswer(plan=_plan(centre, find_plan(centre.db, id)))


@router.post("/plans/{id}/apply")
def apply_plan(centre: ThisCentre, caller: Writer, id: str, body: ApplyPlan) -> Ordered:
    """Carry a plan out; refused where what it saw has changed."""
    row = find_plan(centre.db, id)
    spec = spec_of(body.spec, body.spec_text, body.spec_name)
    rollout = plans.apply(centre.db, row.id, spec=spec, reason=body.reason, **caller.by())
    return _ordered(centre, row.id, rollout, spec)


@router.post("/updates")
def update(centre: ThisCentre, caller: Writer, body: UpdateHost) -> Ordered:
    """Bring a host, or one container of it, up to date: plan and apply in one."""
    asking = centre.asking() if body.check else None
    rollout, row = plans.update(centre.db, body.host, body.container, asking=asking, **caller.by())
    return _ordered(centre, row.id, rollout)


@router.post("/undo")
def undo(centre: ThisCentre, caller: Writer, body: UndoContainer) -> Ordered:
    """Bring one container back to what it ran before its latest update: a plan and a rollout like any other."""
    rollout, row = undo_container(centre.db, body.host, body.container, reason=body.reason, **caller.by())
    return _ordered(centre, row.id, rollout)


def _ordered(centre: Centre, plan_id: UUID, rollout_id: UUID | None, spec: RolloutSpec | None = None) -> Ordered:
    number = queries.rollout_number(centre.db, rollout_id) if rollout_id else None
    return Ordered(rollout_id=rollout_id, rollout=number, plan=_plan(centre, find_plan(centre.db, plan_id), spec))


def _plan(centre: Centre, row: PlanRow, spec: RolloutSpec | None = None) -> Plan:
    """Return the plan as the API tells it, with what *spec* would run into; None: one wave, without a gate."""
    planned = row.document.hosts
    ids = [UUID(id) for id in planned.ids]
    refused = refused_hosts(centre.db)
    return Plan(
        id=row.id,
        asked_by=row.asked_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        rollout_id=row.rollout_id,
        hosts=tuple(_hosts(planned, ids, _Routes(centre.db))),
        skipped=tuple(
            PlanSkip(host=left.host, container=left.container, reason=left.reason) for left in row.document.left_out
        ),
        warnings=(
            *row.document.warnings,
            *(refused[id] for id in ids if id in refused),
            *spec_warnings(centre.db, spec or RolloutSpec(), ids),
        ),
        configurations=tuple(PlanConfiguration.model_validate(each) for each in row.document.configurations),
    )


def _hosts(planned: PlannedHosts, ids: Sequence[UUID], routes: "_Routes") -> Iterator[PlanHost]:
    for id, name, (shape, container_ids) in zip(ids, planned.names, planned.containers_of(), strict=True):
        pinned = zip((planned.pins[pin] for pin in shape.pins), container_ids, strict=True)
        targets = tuple(_target(pin, each, routes.words(id, pin.reference)) for pin, each in pinned)
        yield PlanHost(host=name, host_id=id, targets=targets)


def _target(pin: Pin, container_id: str, route: tuple[str, ...]) -> PlanTarget:
    return PlanTarget(
        container=pin.container,
        container_id=container_id,
        image=pin.image,
        reference=pin.reference,
        image_id=pin.image_id,
        old_digest=pin.old_digest,
        new_digest=pin.digest,
        route=route,
        configuration=pin.configuration,
    )


class _Routes:
    """Where hosts would pull from: thought through once for all whose policy and own mirrors are the same."""

    def __init__(self, db: Database) -> None:
        """Read what decides it."""
        self._own = own_mirrors(db)
        self._holding = measured_policies(db)
        self._words: dict[tuple[str, int, int], tuple[str, ...]] = {}

    def words(self, host_id: UUID, reference: str) -> tuple[str, ...]:
        """Return the names of the sources, in order; none where nothing is known of the host any more."""
        own, holding = self._own.get(host_id), self._holding.get(host_id)
        if own is None or holding is None:
            return ()
        # The very objects: both are made once for hosts alike, and live as long as this does.
        key = (reference, id(holding.policy), id(own))
        if key not in self._words:
            self._words[key] = route_words(Reference.parse(reference), holding.policy, own)
        return self._words[key]
