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
from fleet.history.inventory import container_pages, following
from fleet.history.inventory.container_pages import container_page
from fleet.history.inventory.containers import ContainerRow, of_hosts
from fleet.history.inventory.following import Place
from fleet.history.inventory.host_pages import labels_of
from fleet.history.registries import tags
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.rollouts.selector import Selector

Standing = ContainerStanding[ContainerRow]
_AT_ONCE = 500
"""How many are judged at a time where all are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Containers that are not current, or some of them, and what was counted on the way: of all pages together it is the fleet's."""

    standings: tuple[Standing, ...]
    current: int
    """How many are."""
    pinned: int
    """How many follow no tag, so that none can be newer."""
    checked_at: datetime | None
    """When the registries were last asked for the tag of theirs that was asked for longest ago; None: for none yet."""

    def __add__(self, more: "Outdated") -> "Outdated":
        """Return both together."""
        return Outdated(
            standings=self.standings + more.standings,
            current=self.current + more.current,
            pinned=self.pinned + more.pinned,
            checked_at=min((at for at in (self.checked_at, more.checked_at) if at), default=None),
        )


def outdated(db: Database, selector: Selector) -> Outdated:
    """Return all that *selector* takes, by host and name; nothing is asked for. Raise NotFound for a host that there is not."""
    found, place = outdated_part(db, selector, None, _AT_ONCE)
    while place is not None:
        more, place = outdated_part(db, selector, place, _AT_ONCE)
        found += more
    return found


def outdated_part(
    db: Database, selector: Selector, after: container_pages.Place | None, limit: int
) -> tuple[Outdated, container_pages.Place | None]:
    """Return *limit* of these, or fewer, and where the part after them begins; None: these are the last.

    The first part counts those that are current by what the database knows, each those that a closer look found to be.
    """
    rows, place = container_page(db, following.stale(selector), after, limit)
    found = judged(db, rows)
    part = Outdated(
        standings=tuple(each for each in found if each.freshness is not Freshness.CURRENT),
        current=sum(each.freshness is Freshness.CURRENT for each in found),
        pinned=0,
        checked_at=min((each.resolved_at for each in found if each.resolved_at), default=None),
    )
    return (part if after else _beside(db, selector) + part), place


def _beside(db: Database, selector: Selector) -> Outdated:
    """Count what is not shown; raise NotFound for a host that there is not."""
    check_hosts(db, selector)
    counted = following.counted(db, selector)
    resolved = [tag.resolved_at for tag in tags.tags(db).values() if tag.image in counted.current]
    return Outdated(
        standings=(),
        current=counted.current.total(),
        pinned=counted.pinned,
        checked_at=min((at for at in resolved if at), default=None),
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
