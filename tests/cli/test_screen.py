"""What a watch says that a host does."""

from uuid import uuid4

import pytest

from fleet.api.rollouts import RolloutHost
from fleet.cli.screen import amount, doing, source
from fleet.rollouts.states import HostState


def host(state: HostState, phase: str = "") -> RolloutHost:
    """Return a host that has told of *phase* while it pulled."""
    return RolloutHost(
        host_id=uuid4(),
        host="oak",
        state=state,
        phase=phase,
        container="web",
        bytes=500_000,
        total=1_000_000,
        mirror="https://south.lan",
    )


@pytest.mark.parametrize(
    ("state", "phase", "told"),
    [
        (HostState.DISPATCHED, "", "dispatched"),
        (HostState.PULLING, "pull", "pulling"),
        (HostState.APPLYING, "verify", "verifying"),
        (HostState.SUCCEEDED, "verify", "succeeded"),
    ],
)
def test_the_phase_is_told_while_the_host_is_at_work(state: HostState, phase: str, told: str) -> None:
    assert doing(host(state, phase)) == told


def test_a_pull_is_told_with_bytes_and_mirror() -> None:
    pulling = host(HostState.PULLING, "pull")
    assert (amount(pulling), source(pulling)) == ("500.0 kB/1.0 MB", "south.lan")


@pytest.mark.parametrize("state", [HostState.READY, HostState.APPLYING])
def test_a_pull_that_is_over_is_not_told_any_more(state: HostState) -> None:
    """The centre knows that the host has its bytes before the host tells of its next phase."""
    past = host(state, "pull")
    assert (doing(past), amount(past), source(past)) == (state.value, "", "")
