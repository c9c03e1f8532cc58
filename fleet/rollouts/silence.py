"""After how long without a word a host counts as silent."""

from datetime import timedelta

from fleet.rollouts.spec import RolloutSpec

SILENT_AFTER = timedelta(minutes=15)
"""Where a spec says nothing else, and outside rollouts: three heartbeats missed."""


def silence(spec: RolloutSpec) -> timedelta:
    """Return after how long without a word a host counts as silent in a rollout."""
    after = spec.offline.after_ms
    return SILENT_AFTER if after is None else timedelta(milliseconds=after)
