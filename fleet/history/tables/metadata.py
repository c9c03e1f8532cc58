"""Every table in one place: importing this file makes METADATA whole."""

from fleet.history.sql.columns import METADATA as METADATA
from fleet.history.tables import counters as counter_tables
from fleet.history.tables import days as day_tables
from fleet.history.tables import facts as fact_tables
from fleet.history.tables import feed as feed_tables
from fleet.history.tables import inventory as inventory_tables
from fleet.history.tables import mirrors as mirror_tables
from fleet.history.tables import notify as notify_tables
from fleet.history.tables import pushes as push_tables
from fleet.history.tables import road as road_tables
from fleet.history.tables import rollouts as rollout_tables

ROOMS = (
    inventory_tables,
    rollout_tables,
    fact_tables,
    day_tables,
    road_tables,
    mirror_tables,
    counter_tables,
    notify_tables,
    push_tables,
    feed_tables,
)
"""The files that hold the tables."""
