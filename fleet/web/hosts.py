"""The routes of hosts."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from fleet.api.form import Done
from fleet.api.hosts import AddHost, ChangeHost, Host, HostAdded, HostAnswer, Hosts, HostTurn, RejoinHost
from fleet.controller import inventory
from fleet.controller.inventory import JoinFacts
from fleet.controller.plans import check_hosts
from fleet.controller.routes import host_rules
from fleet.errors import BadInput
from fleet.history.inventory import hosts
from fleet.history.inventory.host_pages import count_hosts, host_page
from fleet.history.inventory.hosts import HostRow
from fleet.history.inventory.tiers import last_tier
from fleet.history.questions.turns import turns
from fleet.history.rules.refusing import refused_hosts
from fleet.rollouts.selector import Selector
from fleet.web.callers import Admin, Reader
from fleet.web.centre import Centre, ThisCentre
from fleet.web.listing import Limit, Page, answer
from fleet.web.mirrors import entry_of
from fleet.web.selecting import labels_of

router = APIRouter(prefix="/hosts", tags=["hosts"])

MOST_TURNS = 5
"""Of how many rollouts it is told where a host stands in them."""


@router.get("", response_model=Hosts)
def list_hosts(
    centre: ThisCentre,
    _: Reader,
    host: Annotated[tuple[str, ...], Query()] = (),
    label: Annotated[tuple[str, ...], Query()] = (),
    limit: Limit = None,
    page: Page = "",
) -> Hosts | Response:
    """List the hosts, by name: all of them, or with `limit` a page at a time."""
    selector = Selector(hosts=host, labels=labels_of(label))
    if not page:
        check_hosts(centre.db, selector)
    return answer("hosts", lambda page, limit: _page(centre, selector, page, limit), limit, page)


def _page(centre: Centre, selector: Selector, page: str, limit: int) -> Hosts:
    rows = host_page(centre.db, selector, after=page, limit=limit + 1)
    return Hosts(
        hosts=tuple(hosts_of(centre, rows[:limit])), next_page=rows[limit - 1].name if len(rows) > limit else None
    )


def page_of_hosts(centre: Centre, selector: Selector, *, after: str, most: int) -> tuple[list[Host], int, bool]:
    """Return *most* hosts that *selector* takes, by name from *after* on, how many it takes, and whether more follow.

    Raise NotFound where it names a host that there is not.
    """
    check_hosts(centre.db, selector)
    rows = host_page(centre.db, selector, after=after, limit=most + 1)
    return list(hosts_of(centre, rows[:most])), count_hosts(centre.db, selector), len(rows) > most


def hosts_of(centre: Centre, rows: Sequence[HostRow]) -> Iterator[Host]:
    """Yield what the API says of hosts."""
    refused = refused_hosts(centre.db, {row.id for row in rows})
    now = centre.db.now()
    yield from (host_of(row, now, refused.get(row.id, "")) for row in rows)


@router.post("", status_code=201)
def add_host(centre: ThisCentre, caller: Admin, body: AddHost) -> HostAdded:
    """Take a new host into the fleet; answers with what its join file needs besides its own key and password."""
    facts = inventory.join_facts(centre.settings)
    row = inventory.add_host(
        centre.db,
        centre.settings.broker_address(),
        name=body.name,
        labels=body.labels,
        public_key=body.public_key,
        password_sha256=body.password_sha256,
        **caller.by(),
    )
    return _joining(centre, row, facts)


@router.post("/{name}/rejoin")
def rejoin_host(centre: ThisCentre, caller: Admin, name: str, body: RejoinHost) -> HostAdded:
    """Give a known host another key and password, and cut off whoever has the old ones; answers as adding one does."""
    facts = inventory.join_facts(centre.settings)
    row = inventory.rejoin_host(
        centre.db,
        centre.settings.broker_address(),
        name,
        public_key=body.public_key,
        password_sha256=body.password_sha256,
        **caller.by(),
    )
    return _joining(centre, row, facts)


@router.get("/{name}")
def show_host(centre: ThisCentre, _: Reader, name: str) -> HostAnswer:
    """Show one host, by its name or id."""
    return _answer(centre, hosts.host(centre.db, name))


@router.patch("/{name}")
def change_host(centre: ThisCentre, caller: Admin, name: str, body: ChangeHost) -> HostAnswer:
    """Rename a host, give and take labels, or replace all of them."""
    parts = bool(body.set_labels or body.drop_labels)
    if parts and body.labels is not None:
        raise BadInput("cannot take all labels and some of them at once; give labels, or set_labels and drop_labels")
    row = hosts.host(centre.db, name)
    if body.labels is not None:
        row = hosts.label_host(centre.db, row.id, labels=body.labels, **caller.by())
    if parts:
        row = hosts.label_host(
            centre.db, row.id, labels=body.set_labels, keep=True, drop=body.drop_labels, **caller.by()
        )
    if body.name is not None and body.name != row.name:
        row = hosts.rename_host(centre.db, row.id, name=body.name, **caller.by())
    return _answer(centre, row)


@router.delete("/{name}")
def remove_host(centre: ThisCentre, caller: Admin, name: str) -> Done:
    """Remove a host; its containers run on, its history stays."""
    inventory.remove_host(centre.db, centre.settings.broker_address(), name, **caller.by())
    return Done()


def host_of(row: HostRow, now: datetime, refused: str = "") -> Host:
    """Return what the API says of a host at *now*, and why it is *refused*."""
    state = "new" if row.last_seen_at is None else "silent" if row.silent(now) else "online"
    return Host(
        state=state,
        refused=refused,
        **{name: getattr(row, name) for name in Host.model_fields if name not in ("state", "refused")},
    )


def _joining(centre: Centre, row: HostRow, facts: JoinFacts) -> HostAdded:
    return HostAdded(
        host=host_of(row, centre.db.now()),
        broker_url=facts.broker.url,
        broker_ca=facts.broker.ca_pem,
        broker_plaintext=facts.plaintext,
        centre_keys=tuple(str(key) for key in facts.centre_keys),
    )


def _answer(centre: Centre, row: HostRow) -> HostAnswer:
    last = last_tier(centre.db, row.id)
    return HostAnswer(
        host=host_of(row, centre.db.now(), refused_hosts(centre.db, [row.id]).get(row.id, "")),
        mirrors=tuple(entry_of(rule, row.name) for rule in host_rules(row)),
        tier=last.tier.value if last else "",
        tier_at=last.at if last else None,
        turns=tuple(HostTurn.model_validate(turn) for turn in turns(centre.db, row.id, MOST_TURNS)),
    )
