"""Plans of the fleet: drawn from what is known, checked first where wanted, and applied as rollouts."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from fleet.clock import Clock
from fleet.controller.check import check as check_tags
from fleet.controller.draw import Drawn, draw
from fleet.controller.foreseeing import with_foresight
from fleet.controller.image_configs import ImageConfigs
from fleet.controller.resolving import Asking
from fleet.controller.standing import Stopped
from fleet.errors import NotFound
from fleet.history.inventory import hosts
from fleet.history.inventory.containers import ContainerRow, containers
from fleet.history.inventory.host_pages import are_there
from fleet.history.inventory.hosts import HostRow, PresentHost
from fleet.history.registries import tags
from fleet.history.rollouts import plans
from fleet.history.rollouts.alike import alike
from fleet.history.rollouts.plans import PlanRow
from fleet.history.rollouts.tried_before import tried_before
from fleet.history.rules import stops
from fleet.history.rules.refusing import check_sendable
from fleet.history.sql.database import Database
from fleet.history.sql.uncollected import uncollected
from fleet.rollouts.selector import Selector, is_glob
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.stops import Stop

WAIT_FOR_HOSTS_S = 10.0
"""How long a plan waits for hosts that were asked for a tag: a tick, the host's own request, and the way back."""


def make_plan(
    db: Database,
    selector: Selector,
    *,
    by: str,
    asking: Asking | None = None,
    configs: ImageConfigs | None = None,
    unattended: bool = False,
    clock: Clock | None = None,
) -> PlanRow:
    """Draw a plan for what *selector* takes, keep it for 24 hours, and return it.

    With *asking*, the tags are asked for first; without, what was last seen is taken. Frozen hosts are planned with a
    warning, since their turn comes when the freeze ends, and what was tried before and went back is warned of; where
    nobody looks, *unattended*, both are left out, and so is what a rollout is bringing already. What is held, snoozed or
    skipped is left out. With *configs*, what will change in the containers' configuration is told, as far as those are
    known or *asking* brings them. Raise NotFound where the selector names a host that there is not.
    """
    check_hosts(db, selector)
    if asking is not None:
        check_tags(db, _followed(containers(db, selector)), asking=asking, wait_s=WAIT_FOR_HOSTS_S, clock=clock)
    now = db.now()
    with uncollected():
        drawn = _drawn(db, selector, now, unattended=unattended)
    document = drawn.document if configs is None else with_foresight(db, drawn, configs, asking)
    return plans.save_plan(db, selector=selector, document=document, by=by)


def _drawn(db: Database, selector: Selector, now: datetime, *, unattended: bool) -> Drawn:
    there, known = alike(db, selector, now), tags.tags(db)
    images = {like.image for like in there.likes}
    releases = [(image, known[image].digest) for image in images if image in known]
    tried = tried_before(db, releases, with_under_way=unattended)
    return draw(there, known, stopped=holding(db, now), tried=tried, unattended=unattended, now=now)


def apply(
    db: Database, plan_id: UUID | str, *, by: str, door: str, spec: RolloutSpec | None = None, reason: str = ""
) -> UUID:
    """Make a plan a rollout, and return its id; raise NotFound, and Refused where the plan is stale, naming what moved."""
    return plans.apply_plan(db, plan_id, by=by, door=door, spec=spec, reason=reason)


def update(
    db: Database,
    host: str | UUID,
    container: str | None = None,
    *,
    by: str,
    door: str,
    asking: Asking | None = None,
    clock: Clock | None = None,
) -> tuple[UUID | None, PlanRow]:
    """Plan and apply in one: bring *host*, or one container of it, up to date.

    Return the rollout, None where there is nothing to do, and the plan, which says why. Raise NotFound where there is
    no such host or container, and Refused where nothing is sent to the host.
    """
    row = hosts.host(db, host)
    check_sendable(db, row.id)
    selector = Selector(hosts=(row.name,), containers=(container,) if container else ())
    if container and not containers(db, selector):
        raise NotFound(f"cannot find a container {container!r} on {row.name}; see: fleet ps {row.name}")
    plan = make_plan(db, selector, by=by, asking=asking, clock=clock)
    if not plan.document.containers:
        return None, plan
    return apply(db, plan.id, by=by, door=door), plan


def stopped_of(db: Database, known: Iterable[HostRow | PresentHost]) -> Stopped:
    """Return what people said shall not be updated at this moment, over the hosts that are *known*."""
    return Stopped(stops=holding(db, db.now()), labels={host.id: host.labels for host in known})


def holding(db: Database, now: datetime) -> tuple[Stop, ...]:
    """Return the stops that hold at *now*."""
    return tuple(stop for stop in stops.stops(db) if stop.holds_at(now))


def check_hosts(db: Database, selector: Selector) -> None:
    """Raise NotFound where the selector names a host, without wildcards, that there is not."""
    names = [name.replace("\0", "") for name in selector.hosts if not is_glob(name)]
    there = are_there(db, names) if names else set()
    for wanted in selector.hosts:
        if wanted not in there and not is_glob(wanted):
            raise NotFound(f"cannot find a host {wanted[:80]!r}; see: fleet host ls")


def _followed(rows: Iterable[ContainerRow]) -> set[str]:
    return {row.image for row in rows if row.image and row.state == "running"}
