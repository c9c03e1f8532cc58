"""The routes of looks at mirrors: let hosts look now, and what they found last."""

import time
from collections.abc import Mapping

from fastapi import APIRouter

from fleet.api.probes import AuditFinding, MirrorAudit, ProbeEntry, Probes, TestMirrors
from fleet.controller.check import check
from fleet.controller.mirror_audit import audit_mirrors
from fleet.controller.plans import WAIT_FOR_HOSTS_S
from fleet.errors import Refused
from fleet.history.inventory import hosts
from fleet.history.inventory.containers import containers
from fleet.history.inventory.hosts import HostRow
from fleet.history.mirrors import probes
from fleet.history.mirrors.liars import liars
from fleet.history.mirrors.probes import ProbeRow
from fleet.history.registries import tags
from fleet.images.reference import Reference
from fleet.rollouts.selector import Selector
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/mirrors", tags=["mirrors"])

_LOOK_S = 0.25


@router.get("/probes")
def list_probes(centre: ThisCentre, _: Reader) -> Probes:
    """Return what every host found when it last looked at its mirrors."""
    return Probes(probes=tuple(_entry(row) for row in probes.latest_probes(centre.db)))


@router.post("/test")
def look_at_mirrors(centre: ThisCentre, caller: Writer, request: TestMirrors) -> Probes:
    """Let hosts look at their mirrors now, and wait for what they find."""
    images = _checked(centre, request.image) if request.image else None
    rows = [hosts.host(centre.db, request.host)] if request.host else _looking(centre, images)
    asked = probes.ask_probes(centre.db, [row.id for row in rows], by=caller.who, images=images)
    waiting = set(asked.values())
    until = time.monotonic() + request.wait_s
    while waiting and time.monotonic() < until:
        time.sleep(_LOOK_S)
        waiting -= probes.answered(centre.db, sorted(waiting))
    mine = set(asked.values())
    found = [row for row in probes.latest_probes(centre.db) if row.test_id in mine]
    late = tuple(sorted(row.name for row in rows if asked.get(row.id) in waiting))
    return Probes(probes=tuple(_entry(row) for row in found), unanswered=late)


@router.get("/audit")
def mirror_audit(centre: ThisCentre, _: Reader) -> MirrorAudit:
    """Tell what is wrong with how mirrors are configured and used over the fleet."""
    rows = hosts.hosts(centre.db)
    found = audit_mirrors(rows, probes.latest_probes(centre.db), liars(centre.db, centre.db.now()))
    told = tuple(AuditFinding(host=f.host, code=f.code, text=f.text, failed=f.failed) for f in found)
    return MirrorAudit(findings=told, hosts=len(rows))


def _checked(centre: Centre, image: str) -> dict[str, str]:
    """Ask the origin of *image* what its tag has, and return that; raise Refused for one that no container follows.

    What a mirror does not have is a condition only where somebody needs it.
    """
    reference = Reference.parse(image).with_tag_latest().without_digest()
    name = str(reference)
    if name not in tags.followed(centre.db):
        raise Refused(f"cannot ask for {reference.familiar}: no container that runs follows it; see: fleet ps")
    check(centre.db, [name], asking=centre.asking(), wait_s=WAIT_FOR_HOSTS_S)
    known = tags.tag(centre.db, name)
    return {name: known.digest if known else ""}


def _looking(centre: Centre, images: Mapping[str, str] | None) -> list[HostRow]:
    """Return every host, or those that run the images that are asked for."""
    rows = hosts.hosts(centre.db)
    if images is None:
        return rows
    running = {row.host_id for row in containers(centre.db, Selector(images=tuple(images)))}
    return [row for row in rows if row.id in running]


def _entry(row: ProbeRow) -> ProbeEntry:
    return ProbeEntry(
        host=row.host,
        mirror=row.mirror,
        registry=row.registry,
        state=row.state,
        reason=row.reason,
        duration_ms=row.duration_ms,
        tls_not_after=row.tls_not_after,
        digest=row.digest,
        origin_digest=row.origin_digest,
        bytes_per_s=row.bytes_per_s,
        at=row.recorded_at,
    )
