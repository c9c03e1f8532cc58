"""What people should know of a rollout's spec, over the hosts and caps that the centre knows now."""

from collections.abc import Collection
from operator import attrgetter
from uuid import UUID

from fleet.history.caps import CapRow, caps
from fleet.history.database import Database
from fleet.history.hosts import PresentHost, present
from fleet.history.own_windows import OwnWindows
from fleet.history.stopping import ZONE_LABEL
from fleet.rollouts.caps import Cap
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.warnings import PlannedOn, warnings


def spec_warnings(db: Database, spec: RolloutSpec, host_ids: Collection[UUID]) -> tuple[str, ...]:
    """Return what in *spec* would keep some of these hosts from ever having their turn, a sentence each."""
    known = planned_on(db)
    chosen = [known[id] for id in host_ids if id in known]
    return warnings(spec, chosen, db.now(), [cap_of(row) for row in caps(db)], list(known.values()))


def cap_of(row: CapRow) -> Cap:
    """Return a cap as deciding knows it."""
    return Cap(label=row.label, max_unavailable=row.most if row.most.endswith("%") else int(row.most))


def planned_on(db: Database) -> dict[UUID, PlannedOn]:
    """Return every host as deciding knows it, with the windows that its policy gives it."""
    with db.reading() as connection:
        own = OwnWindows(connection)
    return {row.id: _planned(row, own) for row in sorted(present(db), key=attrgetter("name"))}


def _planned(row: PresentHost, own: OwnWindows) -> PlannedOn:
    windows = own.of(row.id, row.labels)
    return PlannedOn(host=row.name, labels=row.labels, zone=row.labels.get(ZONE_LABEL, "UTC"), windows=windows)
