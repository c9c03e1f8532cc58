"""Every table in one place: importing this file makes METADATA whole."""

from fleet.history import (
    counter_tables,
    day_tables,
    fact_tables,
    feed_tables,
    inventory_tables,
    mirror_tables,
    notify_tables,
    push_tables,
    road_tables,
    rollout_tables,
)
from fleet.history.columns import METADATA as METADATA

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
