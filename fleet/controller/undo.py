"""The way back of one container: a plan to the digest that it ran before, applied like any other."""

from uuid import UUID

from fleet.controller.standing import Freshness, stand
from fleet.errors import NotFound, Refused
from fleet.history.inventory import hosts
from fleet.history.inventory.containers import ContainerRow, containers
from fleet.history.questions.previous import Previous, previous
from fleet.history.registries import tags
from fleet.history.registries.tags import TagRow
from fleet.history.rollouts import plans
from fleet.history.rollouts.plans import PlanRow
from fleet.history.rules import policies
from fleet.history.rules.refusing import check_sendable
from fleet.history.sql.database import Database
from fleet.images.reference import Reference
from fleet.rollouts.plan import PlanDocument, PlannedContainer, PlannedHost, PlannedHosts
from fleet.rollouts.selector import Selector


def undo_container(
    db: Database, host: str, container: str, *, by: str, door: str, reason: str = ""
) -> tuple[UUID, PlanRow]:
    """Bring *container* on *host* back to the digest before its latest update; return the rollout and its plan.

    Raise NotFound where there is no such host or container, and Refused where nobody knows what it ran before, it must
    not be touched, or nothing is sent to the host. Whether the bytes are still to be had shows when the host brings them, before it touches
    anything: kept there, or from a source.
    """
    found = hosts.host(db, host)
    check_sendable(db, found.id)
    selector = Selector(hosts=(found.name,), containers=(container,))
    rows = [row for row in containers(db, selector) if row.name == container]
    if not rows:
        raise NotFound(f"cannot find a container {container!r} on {found.name}; see: fleet ps {found.name}")
    (row,) = rows
    before = previous(db, found.id, container, row.digests)
    _check(row, before)
    assert before is not None
    document = PlanDocument(
        hosts=PlannedHosts.of(
            [
                PlannedHost(
                    host_id=found.id,
                    host=found.name,
                    policy=policies.effective_policy(db, found.id).hash,
                    containers=(_planned(row, before),),
                )
            ]
        ),
        warnings=_what_comes_back(db, row.image, before),
    )
    plan = plans.save_plan(db, selector=selector, document=document, by=by)
    told = reason or f"undo of {container} on {found.name}"
    return plans.apply_plan(db, plan.id, by=by, door=door, reason=told), plan


def _check(row: ContainerRow, before: Previous | None) -> None:
    """Raise Refused where there is no way back, or the container must not be touched."""
    if before is None:
        raise Refused(
            f"cannot undo {row.name}: no update is known that brought what it runs; see: fleet history chain {row.host} {row.name}"
        )
    if not before.old_digest:
        raise Refused(f"cannot undo {row.name}: which digest it ran before its latest update is not known")
    if before.image != row.image:
        raise Refused(f"cannot undo {row.name}: it followed {before.image} then, and follows {row.image or 'none'} now")
    standing = stand(row, _tag(row, before))
    if standing.freshness is Freshness.CURRENT:
        raise Refused(f"cannot undo {row.name}: it runs that digest already")
    if not standing.updatable:
        raise Refused(standing.reason.replace("cannot update", "cannot undo", 1))


def _what_comes_back(db: Database, image: str, before: Previous) -> tuple[str, ...]:
    """Return the warning that the container's tag has another digest, where it has: the next update brings that."""
    tag = tags.tag(db, image)
    if tag is None or tag.digest in ("", before.old_digest):
        return ()
    name = Reference.parse(image).familiar
    return (f"{name} has {tag.digest[:19]} still; the next update brings that again, unless: fleet skip {name}",)


def _tag(row: ContainerRow, before: Previous) -> TagRow:
    """Return the tag as if it still had the old digest: so it is judged as an update to it would be."""
    return TagRow(
        image=row.image,
        digest=before.old_digest,
        endpoint="",
        reason="",
        resolved_at=before.recorded_at,
        checked_at=before.recorded_at,
        leased_until=None,
    )


def _planned(row: ContainerRow, before: Previous) -> PlannedContainer:
    return PlannedContainer(
        container_id=row.id,
        container=row.name,
        image_id=row.image_id,
        reference=row.reference,
        image=row.image,
        digest=before.old_digest,
        old_digest=before.new_digest,
        back=True,
    )
