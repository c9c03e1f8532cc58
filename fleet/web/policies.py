"""The routes of policies."""

from fastapi import APIRouter

from fleet.api.policies import Policies, Policy, SetPolicy
from fleet.errors import BadInput
from fleet.history.inventory import hosts
from fleet.history.rules import policies
from fleet.history.tables.words import PolicyKind
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/policies", tags=["policies"])


@router.get("")
def show_policies(centre: ThisCentre, _: Reader, host: str = "") -> Policies:
    """Show the documents as they were written, and what holds for one host."""
    effective = policies.effective_policy(centre.db, hosts.host(centre.db, host).id).document if host else None
    return Policies(policies=_all(centre), effective=effective)


@router.put("")
def set_policy(centre: ThisCentre, caller: Writer, body: SetPolicy) -> Policies:
    """Write the document of the fleet, of a label or of a host; an empty one takes it away."""
    policies.set_policy(centre.db, body.kind, _subject(centre, body), body.document, **caller.by())
    return Policies(policies=_all(centre))


def _subject(centre: Centre, body: SetPolicy) -> str:
    match body.kind:
        case PolicyKind.FLEET:
            if body.subject:
                raise BadInput("cannot name a subject for the fleet's policy; say kind host or label")
            return ""
        case PolicyKind.LABEL:
            name, equals, _value = body.subject.partition("=")
            if not name or not equals:
                raise BadInput(f"cannot use {body.subject!r} as a label; expected name=value")
            return body.subject
        case PolicyKind.HOST:
            return hosts.host(centre.db, body.subject).id.hex


def _all(centre: Centre) -> tuple[Policy, ...]:
    names = {host.id.hex: host.name for host in hosts.hosts(centre.db)}
    return tuple(
        Policy(
            kind=row.kind,
            subject=names.get(row.subject, row.subject),
            document=row.document,
            version=row.version,
            changed_by=row.changed_by,
            changed_at=row.changed_at,
        )
        for row in policies.policies(centre.db)
    )
