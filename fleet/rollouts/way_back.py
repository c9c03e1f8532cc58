"""The spec of the way back: one wave, no gates, no windows of its own, under the same limits and caps."""

from dataclasses import replace

from fleet.rollouts.spec import LateJoiners, OnFailure, RolloutSpec, WaveSpec


def way_back_spec(spec: RolloutSpec) -> RolloutSpec:
    """Return the spec of the rollout that undoes one with *spec*.

    What is broken now is not left broken until the night: windows do not bind it, freezes and caps do. It never stops
    for failures, since nothing better is behind it.
    """
    return replace(
        spec,
        waves=(WaveSpec(),),
        budget=None,
        windows=(),
        late_joiners=LateJoiners.EXCLUDE,
        min_release_age_ms=0,
        on_failure=OnFailure.HOLD,
        quarantine_after=None,
    )
