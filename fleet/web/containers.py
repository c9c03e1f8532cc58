"""The routes of containers: what runs, and what is outdated."""

from fastapi import APIRouter

from fleet.api.containers import Container, Containers, Freshness, Outdated
from fleet.controller import plans
from fleet.controller.check import check as check_tags
from fleet.controller.outdated import outdated
from fleet.controller.standing import ContainerStanding
from fleet.history.containers import ContainerRow, containers
from fleet.history.words import Scope
from fleet.web.callers import Reader, demand
from fleet.web.centre import ThisCentre
from fleet.web.selecting import Selected

router = APIRouter(tags=["containers"])


@router.get("/containers")
def list_containers(centre: ThisCentre, _: Reader, selector: Selected) -> Containers:
    """List what runs on the hosts, by their latest snapshots."""
    plans.check_hosts(centre.db, selector)
    return Containers(containers=tuple(_container(row) for row in containers(centre.db, selector)))


@router.get("/outdated")
def list_outdated(centre: ThisCentre, caller: Reader, selector: Selected, check: bool = False) -> Outdated:
    """List what is outdated, or of which that is not known; `check` asks the registries first, and needs scope write."""
    if check:
        demand(caller, Scope.WRITE)
        images = {row.image for row in containers(centre.db, selector) if row.image}
        check_tags(centre.db, images, asking=centre.asking(), wait_s=plans.WAIT_FOR_HOSTS_S)
    found = outdated(centre.db, selector)
    return Outdated(
        containers=tuple(freshness_of(s) for s in found.standings),
        current=found.current,
        pinned=found.pinned,
        checked_at=found.checked_at,
    )


def _container(row: ContainerRow) -> Container:
    return Container.model_validate(row)


def freshness_of(found: ContainerStanding[ContainerRow]) -> Freshness:
    """Return what the API says of how a container stands."""
    row = found.container
    return Freshness(
        host=row.host,
        container=row.name,
        image=row.image,
        status=found.freshness.value,
        old_digest=found.old_digest,
        new_digest=found.new_digest,
        resolved_at=found.resolved_at,
        reason=found.reason,
    )
