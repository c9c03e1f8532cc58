"""What a watch says that a host does."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from fleet.api.rollouts import Rollout, RolloutAnswer, RolloutHost, Wave
from fleet.cli.screen import PlainScreen, amount, doing, source, waves
from fleet.rollouts.states import HostState, RolloutState, WaveState


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


def _answer(first: WaveState, second: WaveState) -> RolloutAnswer:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    rollout = Rollout(id=uuid4(), number=1, state=RolloutState.RUNNING, asked_by="person:anna", created_at=now)
    waves = (
        Wave(number=0, state=first, counts={HostState.SUCCEEDED: 1}),
        Wave(number=1, state=second, counts={HostState.PENDING: 2, HostState.FAILED: 1}),
    )
    return RolloutAnswer(rollout=rollout, waves=waves)


def test_off_a_terminal_a_wave_is_told_when_it_changes_and_not_again(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    for first, second in ((WaveState.OPEN, WaveState.PENDING),) * 2 + ((WaveState.PASSED, WaveState.OPEN),):
        screen.show(_answer(first, second))
    told = capsys.readouterr().err.splitlines()
    assert told == ["wave 1 open  1 of 1 hosts", "wave 1 passed  1 of 1 hosts", "wave 2 open  1 of 3 hosts"]


def test_a_rollout_of_one_wave_tells_of_its_hosts_alone() -> None:
    answer = _answer(WaveState.OPEN, WaveState.PENDING)
    assert waves(answer.model_copy(update={"waves": answer.waves[:1]})) == []
