"""What is outdated, or of which that is not known: the database finds which containers these are, and each is judged as a plan would."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fleet.controller.plans import check_hosts, holding
from fleet.controller.standing import (
    ContainerStanding,
    Freshness,
    Stopped,
    choose,
    needs_others,
    stand,
    trusted,
    without_circles,
)
from fleet.history import following, policies, tags
from fleet.history.containers import ContainerRow, of_hosts
from fleet.history.database import Database
from fleet.history.following import Place
from fleet.history.host_pages import labels_of
from fleet.rollouts.selector import Selector

Standing = ContainerStanding[ContainerRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Containers that are not current."""

    standings: tuple[Standing, ...]
    current: int
    """How many are."""
    pinned: int
    """How many follow no tag, so that none can be newer."""
    checked_at: datetime | None
    """When the registries were last asked for the tag of theirs that was asked for longest ago; None: for none yet."""


def outdated(db: Database, selector: Selector) -> Outdated:
    """Return all that *selector* takes, by host and name; nothing is asked for. Raise NotFound for a host that there is not."""
    check_hosts(db, selector)
    found = judged(db, following.stale(db, selector))
    current = following.current(db, selector)
    resolved = [tag.resolved_at for tag in tags.tags(db).values() if tag.image in current]
    return Outdated(
        standings=tuple(each for each in found if each.freshness is not Freshness.CURRENT),
        current=current.total() + sum(each.freshness is Freshness.CURRENT for each in found),
        pinned=following.pinned(db, selector),
        checked_at=min((at for at in (*resolved, *(each.resolved_at for each in found)) if at), default=None),
    )


def outdated_page(db: Database, after: Place | None, limit: int) -> tuple[list[Standing], Place | None]:
    """Return *limit* of the fleet's, those that are known to be outdated first, and where the page after them begins; None:
    these are the last.
    """
    found = following.stale_page(db, after, limit + 1)
    shown = found[:limit]
    return judged(db, [row for _, row in shown]), shown[-1][0] if len(found) > limit else None


def judged(db: Database, rows: Sequence[ContainerRow]) -> list[Standing]:
    """Return how *rows* stand to their tags, and whether a plan would touch them."""
    known = tags.tags_of(db, {row.image for row in rows})
    held = policies.effective_policies(db, {row.host_id for row in rows})
    now = db.now()
    standings = []
    for row in rows:
        tag, policy = known.get(row.image), held[row.host_id]
        standings.append(trusted(choose(stand(row, tag), policy.selection), tag, policy.resolve, now))
    stopped = Stopped(stops=holding(db, now), labels=labels_of(db, held))
    return [
        stopped.keep(each, each.container.host, stopped.labels.get(each.container.host_id, {}))
        for each in _without_circles(db, standings)
    ]


def _without_circles(db: Database, standings: Sequence[Standing]) -> list[Standing]:
    """As :func:`without_circles`, which must see all containers of a host of which one needs others."""
    ids = {each.container.host_id for each in standings if needs_others(each.container)}
    shown = {(each.container.host_id, each.container.id) for each in standings}
    beside = [row for row in of_hosts(db, ids) if (row.host_id, row.id) not in shown]
    unseen = [ContainerStanding(container=row, freshness=Freshness.UNKNOWN) for row in beside]
    return without_circles([*standings, *unseen])[: len(standings)]
