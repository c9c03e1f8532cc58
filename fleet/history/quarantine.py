"""Hosts that failed one release after the other: none is tried on them any more until a person looked."""

from sqlalchemy import ColumnElement, RowMapping, and_, exists, false, func, select

from fleet.history.inventory_tables import hosts
from fleet.history.rollout_tables import rollout_hosts
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import BAD, HostState


def in_quarantine(row: RowMapping, spec: RolloutSpec) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that a host failed as many releases in a row as the spec allows.

    A way back goes to every host.
    """
    if spec.quarantine_after is None or row["way_back_of"] is not None:
        return false()
    mine = and_(_BAD.c.host_id == hosts.c.id, _BAD.c.state.in_(BAD), _BAD.c.rollout_id < row["id"], ~_SINCE)
    failed = select(func.count()).select_from(_BAD).where(mine).correlate(hosts).scalar_subquery()
    return failed >= spec.quarantine_after


# Made once: an alias copies all columns of its table, and each tick asks.
_BAD, _OK = rollout_hosts.alias("failed"), rollout_hosts.alias("since")
_SINCE = exists().where(
    _OK.c.host_id == _BAD.c.host_id, _OK.c.rollout_id > _BAD.c.rollout_id, _OK.c.state == HostState.SUCCEEDED
)
