"""Hosts that failed one release after the other: none is tried on them any more until a person looked."""

from sqlalchemy import ColumnElement, RowMapping, and_, false, func, select

from fleet.history.rollouts.caps import failed
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.spec import RolloutSpec


def in_quarantine(row: RowMapping, spec: RolloutSpec) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that a host failed as many releases in a row as the spec allows.

    A way back goes to every host.
    """
    if spec.quarantine_after is None or row["way_back_of"] is not None:
        return false()
    mine = and_(_BAD.c.host_id == hosts.c.id, *_FAILED, _BAD.c.rollout_id < row["id"])
    failed = select(func.count()).select_from(_BAD).where(mine).correlate(hosts).scalar_subquery()
    return failed >= spec.quarantine_after


# Made once: an alias copies all columns of its table, and each tick asks.
_BAD = rollout_hosts.alias("failed")
_FAILED = failed(_BAD)
