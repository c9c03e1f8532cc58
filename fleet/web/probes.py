"""The routes of looks at mirrors: let hosts look now, and what they found last."""

import time

from fastapi import APIRouter

from fleet.api.probes import AuditFinding, MirrorAudit, ProbeEntry, Probes, TestMirrors
from fleet.controller.mirror_audit import audit_mirrors
from fleet.history import hosts, probes
from fleet.history.liars import liars
from fleet.history.probes import ProbeRow
from fleet.web.callers import Reader, Writer
from fleet.web.centre import ThisCentre

router = APIRouter(prefix="/mirrors", tags=["mirrors"])

_LOOK_S = 0.25


@router.get("/probes")
def list_probes(centre: ThisCentre, _: Reader) -> Probes:
    """Return what every host found when it last looked at its mirrors."""
    return Probes(probes=tuple(_entry(row) for row in probes.latest_probes(centre.db)))


@router.post("/test")
def look_at_mirrors(centre: ThisCentre, caller: Writer, request: TestMirrors) -> Probes:
    """Let hosts look at their mirrors now, and wait for what they find."""
    rows = [hosts.host(centre.db, request.host)] if request.host else hosts.hosts(centre.db)
    asked = probes.ask_probes(centre.db, [row.id for row in rows], by=caller.who)
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
