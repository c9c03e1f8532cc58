"""The beat: says "tick" every few seconds, and a few other words more rarely. It decides and remembers nothing."""

from fleet.road import worker
from fleet.settings.centre import CentreSettings

CHECK = "check"
"""Look for tags whose time has come."""
LOOK = "look"
"""Say in the log what a person should know now."""
RECONCILE = "reconcile"
"""Compare the broker's users with the hosts."""
PRUNE = "prune"
"""Take away what is too old."""


def run(settings: CentreSettings) -> None:
    """Beat until SIGTERM. Any number of beats may run: the planner claims rows."""
    others = {
        CHECK: settings.check.every_s,
        LOOK: settings.planner.look_s,
        RECONCILE: settings.planner.reconcile_s,
        PRUNE: settings.planner.prune_s,
    }
    worker.run_beat(settings.broker_address(), settings.planner.tick_s, others)
