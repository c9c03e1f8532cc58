"""The routes of mirrors: which rules there are, and the way that an image would take."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from fleet.api.mirrors import Explanation, HostRoute, MirrorEntry, Mirrors, RouteSkip, RouteStop
from fleet.controller.routes import host_rules, route_of, untold_rules
from fleet.errors import NotFound
from fleet.history.inventory import hosts
from fleet.history.inventory.containers import containers
from fleet.history.inventory.hosts import HostRow
from fleet.history.inventory.tiers import last_tier
from fleet.history.mirrors.probes import ProbeRow, latest_probes
from fleet.history.mirrors.speeds import measured_policies
from fleet.history.registries import tags
from fleet.history.registries.tags import TagRow
from fleet.history.rules import policies
from fleet.images.reference import Reference
from fleet.mirrors.policy import CONFIG
from fleet.mirrors.probe import ProbeState
from fleet.mirrors.source import MirrorRule, Source
from fleet.mirrors.table import Strategy
from fleet.rollouts.naming import named
from fleet.rollouts.selector import Selector
from fleet.updates.command import Policy
from fleet.web.callers import Reader
from fleet.web.centre import Centre, ThisCentre

Looks = Mapping[tuple[str, str], ProbeRow]
"""What one host last found at its mirrors, by mirror and registry."""

_UNTOLD = "the host's agent is too old for auth and proxy of a single mirror; upgrade it"

router = APIRouter(prefix="/mirrors", tags=["mirrors"])


@router.get("")
def list_mirrors(centre: ThisCentre, _: Reader, host: str = "") -> Mirrors:
    """List the rules of policy and of every host's own files, or those that hold for one host."""
    rows = [hosts.host(centre.db, host)] if host else hosts.hosts(centre.db)
    holding = policies.effective_policies(centre.db)
    of_policy: dict[MirrorEntry, list[str]] = {}
    for row in rows:
        effective = holding.get(row.id)
        for rule in effective.policy.mirrors if effective else ():
            of_policy.setdefault(entry_of(rule, ""), []).append(row.name)
    entries = dict.fromkeys(
        entry.model_copy(update={"holds_on": named(names) if len(names) < len(holding) else "all hosts"})
        for entry, names in of_policy.items()
    )
    for row in rows:
        for rule in host_rules(row):
            entries[entry_of(rule, row.name)] = None
    last = last_tier(centre.db, rows[0].id) if host else None
    by_speed = (row.name for row in rows if row.id in holding and holding[row.id].policy.strategy is Strategy.FASTEST)
    return Mirrors(mirrors=tuple(entries), fastest_on=tuple(by_speed), tier=last.tier.value if last else "")


@router.get("/explain")
def explain(
    centre: ThisCentre, _: Reader, image: Annotated[str, Query(min_length=1, max_length=600)], host: str = ""
) -> Explanation:
    """Say where an image would be pulled from: on one host, or on every host that runs it."""
    reference = Reference.parse(image).with_tag_latest()
    name = str(reference.without_digest())
    tag = tags.tag(centre.db, name) if reference.tag else None
    return Explanation(
        image=image,
        reference=str(reference),
        digest=str(reference.digest or "") or (tag.digest if tag else ""),
        resolved_at=tag.resolved_at if tag else None,
        endpoint=tag.endpoint if tag else "",
        reason=tag.reason if tag else "it was not checked yet",
        routes=_routes(centre, reference, _meant(centre, name, host), None if reference.digest else tag),
    )


def entry_of(rule: MirrorRule, host: str) -> MirrorEntry:
    """Return what the API says of a rule."""
    return MirrorEntry(
        host=host,
        for_registry=rule.for_registry,
        endpoint=str(rule.endpoint),
        provenance=rule.provenance,
        where=rule.where,
        insecure=rule.endpoint.insecure,
        resolve=rule.resolve,
        auth=rule.endpoint.auth or CONFIG,
        proxy=rule.endpoint.proxy,
    )


def _meant(centre: Centre, image: str, host: str) -> list[HostRow]:
    """Return the host that was named, else those that run *image*, else all."""
    if host:
        return [hosts.host(centre.db, host)]
    running = {row.host_id for row in containers(centre.db, Selector(images=(image,)))}
    rows = hosts.hosts(centre.db)
    return [row for row in rows if row.id in running] or rows


def _routes(centre: Centre, reference: Reference, rows: list[HostRow], tag: TagRow | None) -> tuple[HostRoute, ...]:
    if not rows:
        return (_told("", reference, Policy(), tag=tag),)
    holding = measured_policies(centre.db)
    looks: dict[UUID, dict[tuple[str, str], ProbeRow]] = defaultdict(dict)
    for look in latest_probes(centre.db):
        looks[look.host_id][look.mirror, look.registry] = look
    routes = []
    for row in rows:
        if row.id not in holding:
            raise NotFound(f"cannot find the host {row.name}: it was just removed")
        routes.append(_told(row.name, reference, holding[row.id].policy, row, looks[row.id], tag))
    return tuple(routes)


def _told(
    name: str,
    reference: Reference,
    policy: Policy,
    row: HostRow | None = None,
    looks: Looks | None = None,
    tag: TagRow | None = None,
) -> HostRoute:
    route = route_of(reference, policy, row)
    skipped = [RouteSkip(endpoint=s.source.name, reason=s.reason) for s in route.skipped]
    skipped += [RouteSkip(endpoint=str(rule.endpoint), reason=_UNTOLD) for rule in untold_rules(policy, row)]
    return HostRoute(
        host=name,
        strategy=policy.strategy,
        sources=tuple(_stop(source, policy.speeds or {}, looks or {}, tag) for source in route.sources),
        skipped=tuple(skipped),
    )


def _stop(source: Source, speeds: Mapping[str, int], looks: Looks, tag: TagRow | None) -> RouteStop:
    rule = source.rule
    if rule is None:
        return _origin(source, tag)
    look = looks.get((source.name, rule.for_registry))
    # A look tells what the origin had said of the image that it asked for, and not which image that was.
    same = look is not None and tag is not None and "" != look.origin_digest == tag.digest
    return RouteStop(
        endpoint=source.name,
        role=source.role,
        for_registry=rule.for_registry,
        provenance=rule.provenance.value,
        where=rule.where,
        state=look.state.value if look else "",
        state_reason=look.reason if look else "",
        looked_at=look.recorded_at if look else None,
        digest=look.digest if look and same else "",
        took_ms=look.duration_ms if look and same else None,
        bytes_per_s=speeds.get(source.name),
        auth=rule.endpoint.auth or CONFIG,
        proxy=rule.endpoint.proxy,
    )


def _origin(source: Source, tag: TagRow | None) -> RouteStop:
    """Return the registry itself, with what it said when the tag was last checked there."""
    # An insecure one may have been asked in plain http.
    said = tag is not None and tag.endpoint.partition("://")[2] == source.endpoint.host and not tag.reason
    return RouteStop(
        endpoint=source.name,
        role=source.role,
        state=ProbeState.OK.value if said else "",
        looked_at=tag.resolved_at if tag and said else None,
        digest=tag.digest if tag and said else "",
    )
