"""What a snapshot shows of a host that succeeded: only what is surely not well counts against the release."""

from dataclasses import replace

import pytest

from fleet.rollouts.regress import Pinned, Shown, regressed

PIN = Pinned(container="app", old_id="old", digest="sha256:new")
WELL = Shown(id="new", digests=("sha256:new",), state="running", health="healthy")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (WELL, ""),
        (replace(WELL, health="starting"), ""),
        (replace(WELL, health=""), ""),
        (replace(WELL, health="unhealthy"), "app is unhealthy"),
        (replace(WELL, state="exited"), "app is exited"),
        (replace(WELL, state="restarting"), "app is restarting"),
        (replace(WELL, state="paused"), ""),
        (replace(WELL, digests=("sha256:other",)), "app runs sha256:other instead of sha256:new"),
        (replace(WELL, digests=("sha256:other", "sha256:new")), ""),
        (replace(WELL, digests=(), state="exited"), ""),
        (replace(WELL, id="old", digests=("sha256:old",)), ""),
        (replace(WELL, id="old", health="unhealthy"), "app is unhealthy"),
        (None, ""),
    ],
)
def test_a_host_has_regressed_where_it_surely_does_not_run_the_pinned_digest_well(
    shown: Shown | None, why: str
) -> None:
    assert regressed([PIN], {"app": shown} if shown else {}) == why


def test_one_container_is_enough() -> None:
    pins = [replace(PIN, container="db"), PIN]
    assert regressed(pins, {"db": WELL, "app": replace(WELL, state="dead")}) == "app is dead"
