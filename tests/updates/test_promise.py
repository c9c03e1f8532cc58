"""The promise again, over shapes and sequences of faults that nobody thought of."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from fleet.errors import EngineUnreachable
from fleet.testing.engine_faults import ANY, KillNow, When
from fleet.testing.engine_images import Behaviour
from fleet.updates.command import LooseFiles, Policy, UpdateOrder, VerifyPolicy
from fleet.updates.outcome import Result
from tests.memory import memory
from tests.updates.site import PROBE, Shape, Site, engine_says_no, lives_in

EXAMPLES = int(os.environ.get("FLEET_TEST_EXAMPLES", "500"))
"""How many shapes are tried; thousands in the long matrix."""
OF_A_SEED = 50
"""How many of them have one seed: its first ones are those that differ most, and many seeds find what more of one do not."""
KID = lives_in("Network", "web")
FAULTS: list[Callable[[], BaseException]] = [engine_says_no, EngineUnreachable, KillNow]

behaviours = st.builds(
    Behaviour,
    health=st.sampled_from(["healthy", "healthy", "unhealthy", "starting"]),
    health_after_s=st.sampled_from([0.0, 0.5, 3.0]),
    exits_after_s=st.sampled_from([None, None, None, 0.0, 1.5]),
    exit_code=st.sampled_from([0, 1]),
    stop_takes_s=st.sampled_from([0.0, 0.0, 3.0, 30.0]),
    start_error=st.sampled_from(["", "", "", "no such device"]),
)
steady = st.builds(
    Behaviour,
    health=st.sampled_from(["healthy", "unhealthy"]),
    stop_takes_s=st.sampled_from([0.0, 3.0, 30.0]),
)
config = st.fixed_dictionaries(
    {},
    optional={
        "Volumes": st.just({"/data": {}}),
        "Healthcheck": st.just(PROBE),
        "Labels": st.sampled_from([{"v": "1"}, {"v": "2", "w": "3"}]),
        "Entrypoint": st.sampled_from([["/a"], ["/b"]]),
    },
)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """A container, its images and its policy."""
    host: dict[str, object] = draw(
        st.sampled_from(
            [
                {"AutoRemove": True},
                *({"RestartPolicy": {"Name": name}} for name in ("no", "always", "unless-stopped", "on-failure")),
            ]
        )
    )
    host = {**host, **draw(st.sampled_from([{}, {"Binds": ["named:/named"]}, {"NetworkMode": "back"}]))}
    return Shape(
        body={
            "HostConfig": host,
            "Labels": draw(
                st.sampled_from([{}, {"fleet.update.volumes": "shared"}, {"fleet.hook.pre-update": "save"}])
            ),
            **draw(st.sampled_from([{}, {"Healthcheck": PROBE}, {"Volumes": {"/own": {}}}])),
        },
        old=draw(steady),
        new=draw(behaviours),
        old_config=draw(config),
        new_config=draw(config),
        api_version=draw(st.sampled_from(["1.41", "1.45"])),
        removal_takes_s=draw(st.sampled_from([0.0, 0.5])),
        policy=Policy(
            verify=VerifyPolicy(settle_ms=draw(st.sampled_from([0, 1_000])), deadline_ms=5_000),
            remove_old_image=draw(st.booleans()),
            keep_images=draw(st.sampled_from([0, 1])),
            loose_files=draw(st.sampled_from([LooseFiles.WARN, LooseFiles.COPY])),
            order=draw(st.sampled_from(UpdateOrder)),
            hooks=draw(st.booleans()),
        ),
        kids=draw(st.sampled_from([{}, {}, {"kid": KID}])),
        files=draw(st.sampled_from([{}, {"/etc/app.conf": b"mine"}])),
    )


faults = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=40),
        st.integers(min_value=0, max_value=len(FAULTS) - 1),
        st.sampled_from(list(When)),
        st.sampled_from([0.05, 0.5]),
    ),
    max_size=3,
)


everything = given(shape=shapes(), faults=faults, reboot=st.booleans())


def test_after_any_three_faults_one_of_the_two_runs() -> None:
    """Fewer faults than the way back has tries, so that it may not fail."""
    within = settings(max_examples=OF_A_SEED, suppress_health_check=[HealthCheck.too_slow])
    for number in range(EXAMPLES // OF_A_SEED):
        made: Any = seed(number)(within(everything(live_through)))
        made()


@pytest.mark.full
@pytest.mark.timeout(3600)
@everything
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
def test_after_any_three_faults_one_of_the_two_runs_ten_thousand_times(
    shape: Shape, faults: list[tuple[int, int, When, float]], reboot: bool
) -> None:
    live_through(shape, faults, reboot)


def live_through(shape: Shape, faults: list[tuple[int, int, When, float]], reboot: bool) -> None:
    """Let one sequence happen, and judge it."""
    folder = Path(mkdtemp(prefix="fleet-promise-", dir=memory()))
    try:
        with mock.patch.object(os, "fsync", lambda descriptor: None):
            _live_and_look(Site(folder, shape), faults, reboot)
    finally:
        shutil.rmtree(folder)


def _can_be_verified(shape: Shape) -> bool:
    """Tell whether a verification can find the new container good, by what its image does.

    A probe as the old image had it counts as the image's, and goes with it.
    """
    own = "Healthcheck" in shape.body and "Healthcheck" not in shape.old_config
    probed = own or "Healthcheck" in shape.new_config
    ends_s, settle_s = shape.new.exits_after_s, 0.0 if probed else shape.policy.verify.settle_ms / 1000
    ended = ends_s is not None and ends_s < settle_s
    return not (shape.new.start_error or ended or (probed and shape.new.health != "healthy"))


def _live_and_look(site: Site, faults: list[tuple[int, int, When, float]], reboot: bool) -> None:
    for after, error, when, late_s in faults:
        site.engine.fail(ANY, FAULTS[error], after=after, when=when, late_s=late_s)
    outcome = site.live(reboot=reboot)
    note(f"{outcome.result}: {outcome.reason}; {[call.name for call in site.engine.calls]}")
    site.engine.heal()
    assert outcome.result is not Result.UPDATED or _can_be_verified(site.shape), (
        "what cannot be verified was called good"
    )
    if outcome.result is Result.UPDATED and site.shape.new.exits_after_s is not None:
        return  # It was verified, and ended later: that is the image's own doing.
    site.assert_promise(outcome)
    site.assert_tidy()
    site.assert_told_once(outcome)
