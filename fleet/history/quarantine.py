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
    bad, ok = rollout_hosts.alias("failed"), rollout_hosts.alias("since")
    since = exists().where(
        ok.c.host_id == bad.c.host_id, ok.c.rollout_id > bad.c.rollout_id, ok.c.state == HostState.SUCCEEDED
    )
    mine = and_(bad.c.host_id == hosts.c.id, bad.c.state.in_(BAD), bad.c.rollout_id < row["id"], ~since)
    failed = select(func.count()).select_from(bad).where(mine).correlate(hosts).scalar_subquery()
    return failed >= spec.quarantine_after
