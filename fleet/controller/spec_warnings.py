"""What people should know of a rollout's spec, over the hosts and caps that the centre knows now."""

from collections.abc import Collection, Container
from operator import attrgetter
from uuid import UUID

from fleet.history.inventory.hosts import PresentHost, present
from fleet.history.rollouts.caps import CapRow, caps
from fleet.history.rules.own_windows import OwnWindows
from fleet.history.sql.database import Database
from fleet.rollouts.caps import Cap
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.warnings import PlannedOn, warnings
from fleet.rollouts.windows import ZONE_LABEL


def spec_warnings(
    db: Database,
    spec: RolloutSpec,
    host_ids: Collection[UUID],
    *,
    planned: Collection[UUID] = (),
    over: Container[int] = (),
) -> tuple[str, ...]:
    """Return what in *spec* would keep some of these hosts from ever having their turn, a sentence each.

    Of a rollout that was begun, *planned* are all of its hosts, and *over* the numbers of its waves that ended.
    """
    known = planned_on(db)
    chosen, all_ = ([known[id] for id in ids if id in known] for ids in (host_ids, planned))
    most = [cap_of(row) for row in caps(db)]
    return warnings(spec, chosen, db.now(), most, list(known.values()), planned=all_, over=over)


def cap_of(row: CapRow) -> Cap:
    """Return a cap as deciding knows it."""
    return Cap(label=row.label, max_unavailable=row.most if row.most.endswith("%") else int(row.most))


def own_windows(db: Database) -> OwnWindows:
    """Return the windows that policies give hosts."""
    with db.reading() as connection:
        return OwnWindows(connection)


def planned_on(db: Database) -> dict[UUID, PlannedOn]:
    """Return every host as deciding knows it, with the windows that its policy gives it."""
    own = own_windows(db)
    return {row.id: _planned(row, own) for row in sorted(present(db), key=attrgetter("name"))}


def _planned(row: PresentHost, own: OwnWindows) -> PlannedOn:
    windows = own.of(row.id, row.labels)
    return PlannedOn(host=row.name, labels=row.labels, zone=row.labels.get(ZONE_LABEL, "UTC"), windows=windows)
