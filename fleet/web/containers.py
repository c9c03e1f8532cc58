"""The routes of containers: what runs, and what is outdated."""

from typing import Any

from fastapi import APIRouter, Response

from fleet.api.containers import Container, Containers, Freshness, Outdated
from fleet.api.history import LARGEST_PAGE
from fleet.controller import plans
from fleet.controller.check import check as check_tags
from fleet.controller.outdated import outdated, outdated_part
from fleet.controller.standing import ContainerStanding
from fleet.history.inventory.container_pages import Look, Place, container_page
from fleet.history.inventory.containers import ContainerRow, containers
from fleet.history.tables.words import Scope
from fleet.rollouts.selector import Selector
from fleet.web.callers import Reader, demand
from fleet.web.centre import Centre, ThisCentre
from fleet.web.listing import Limit, Page, answer
from fleet.web.selecting import Selected

router = APIRouter(tags=["containers"])


@router.get("/containers", response_model=Containers)
def list_containers(
    centre: ThisCentre, _: Reader, selector: Selected, limit: Limit = None, page: Page = ""
) -> Containers | Response:
    """List what runs on the hosts, by their latest snapshots: all of it, or with `limit` a page at a time.

    A page may hold fewer than were asked for, or none, and still have a next one.
    """
    if not page:
        plans.check_hosts(centre.db, selector)
    return answer("containers", lambda page, limit: _containers(centre, selector, page, limit), limit, page)


@router.get("/outdated", response_model=Outdated)
def list_outdated(
    centre: ThisCentre, caller: Reader, selector: Selected, check: bool = False, limit: Limit = None, page: Page = ""
) -> Outdated | Response:
    """List what is outdated, or of which that is not known; `check` asks the registries first, and needs scope write.

    All of it, or with `limit` a page at a time, as the list of containers; what is counted adds up over the pages.
    """
    if check:
        demand(caller, Scope.WRITE)
        check_tags(centre.db, _followed(centre, selector), asking=centre.asking(), wait_s=plans.WAIT_FOR_HOSTS_S)
    return answer("containers", lambda page, limit: _outdated(centre, selector, page, limit), limit, page, _together)


def containers_of(centre: Centre, selector: Selector) -> tuple[Container, ...]:
    """Return what runs of what *selector* takes; raise NotFound for a host that there is not."""
    plans.check_hosts(centre.db, selector)
    return tuple(map(_container, containers(centre.db, selector)))


def outdated_of(centre: Centre, selector: Selector) -> tuple[Freshness, ...]:
    """Return what is outdated, or of which that is not known, of what *selector* takes."""
    return tuple(map(freshness_of, outdated(centre.db, selector).standings))


def _containers(centre: Centre, selector: Selector, page: str, limit: int) -> Containers:
    rows, place = container_page(centre.db, Look(selector=selector), Place.read(page), limit)
    return Containers(containers=tuple(map(_container, rows)), next_page=str(place) if place else None)


def _outdated(centre: Centre, selector: Selector, page: str, limit: int) -> Outdated:
    found, place = outdated_part(centre.db, selector, Place.read(page), limit)
    return Outdated(
        containers=tuple(map(freshness_of, found.standings)),
        current=found.current,
        pinned=found.pinned,
        checked_at=found.checked_at,
        next_page=str(place) if place else None,
    )


def _together(one: Outdated, other: Outdated) -> dict[str, Any]:
    return {
        "current": one.current + other.current,
        "pinned": one.pinned + other.pinned,
        "checked_at": min((at for at in (one.checked_at, other.checked_at) if at), default=None),
    }


def _followed(centre: Centre, selector: Selector) -> set[str]:
    """Return the images that are followed of what *selector* takes."""
    images: set[str] = set()
    place, begun = None, False
    while place is not None or not begun:
        rows, place = container_page(centre.db, Look(selector=selector), place, LARGEST_PAGE)
        images.update(row.image for row in rows if row.image)
        begun = True
    return images


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
