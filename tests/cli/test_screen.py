"""What a watch says that a host does."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from fleet.api.rollouts import Rollout, RolloutAnswer, RolloutHost, Wave
from fleet.cli.screen import PlainScreen
from fleet.cli.tree import MOST_ROWS, amount, doing, lines, source, waves
from fleet.rollouts.states import Hold, HostState, RolloutState, WaveState


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


def _answer(first: WaveState, second: WaveState, *hosts: RolloutHost, **more: Any) -> RolloutAnswer:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    opened = {WaveState.PENDING: None}
    rollout = Rollout(id=uuid4(), number=1, state=RolloutState.RUNNING, asked_by="person:anna", created_at=now)
    waves = (
        Wave(number=0, state=first, opened_at=opened.get(first, now), counts={HostState.SUCCEEDED: 1}),
        Wave(
            number=1,
            state=second,
            opened_at=opened.get(second, now),
            counts={HostState.PENDING: 2, HostState.FAILED: 1},
        ),
    )
    return RolloutAnswer(rollout=rollout.model_copy(update=more), waves=waves, hosts=hosts)


def _host(name: str, wave: int, state: HostState, **more: Any) -> RolloutHost:
    return RolloutHost(host_id=uuid4(), host=name, wave=wave, state=state, containers=("web",), **more)


def test_off_a_terminal_a_wave_is_told_when_it_changes_and_not_again(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    for first, second in ((WaveState.OPEN, WaveState.PENDING),) * 2 + ((WaveState.PASSED, WaveState.OPEN),):
        screen.show(_answer(first, second))
    told = capsys.readouterr().err.splitlines()
    assert told == ["wave 1 open  1 of 1 hosts", "wave 1 passed  1 of 1 hosts", "wave 2 open  1 of 3 hosts"]


def test_off_a_terminal_hosts_that_wait_and_those_that_had_ended_are_not_told_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = PlainScreen()
    oak, ash, elm = (_host(name, 0, HostState.PENDING) for name in ("oak", "ash", "elm"))
    for state in (HostState.PULLING, HostState.FAILED):
        screen.show(
            _answer(
                WaveState.OPEN,
                WaveState.PENDING,
                oak,
                ash.model_copy(update={"state": HostState.SUCCEEDED}),
                elm.model_copy(update={"state": state, "reason": "no space left"}),
            )
        )
    told = capsys.readouterr().err.splitlines()
    assert told == ["wave 1 open  1 of 1 hosts", "elm  web  pulling", "elm  web  failed  no space left"]


def test_off_a_terminal_what_holds_the_rollout_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    for _ in range(2):
        screen.show(_answer(WaveState.PENDING, WaveState.PENDING, holds=(Hold.BUDGET,)))
    assert capsys.readouterr().err.splitlines() == ["held: budget (more hosts failed than it allows)"]


def test_a_rollout_of_one_wave_tells_of_its_hosts_alone() -> None:
    answer = _answer(WaveState.OPEN, WaveState.PENDING)
    assert waves(answer.model_copy(update={"waves": answer.waves[:1]})) == []


def test_a_wave_that_a_rollout_ended_before_was_never_opened_and_did_not_fail() -> None:
    answer = _answer(WaveState.FAILED, WaveState.FAILED)
    never = answer.waves[1].model_copy(update={"opened_at": None})
    assert waves(answer.model_copy(update={"waves": (answer.waves[0], never)})) == [
        "wave 1 failed  1 of 1 hosts",
        "wave 2 never opened  1 of 3 hosts",
    ]


def test_a_soak_is_told_with_its_end() -> None:
    answer = _answer(WaveState.SOAKING, WaveState.PENDING)
    soaks = answer.waves[0].model_copy(update={"soak_since": datetime(2026, 11, 25, 12, tzinfo=UTC)})
    spec = {"waves": [{"soak_ms": 600_000}, {}]}
    drawn = waves(answer.model_copy(update={"waves": (soaks, answer.waves[1]), "spec": spec}))
    assert drawn[0] == "wave 1 soaking  1 of 1 hosts  until 12:10:00Z"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_hosts_are_drawn_under_their_wave_what_is_live_first_and_no_line_is_too_long(width: int) -> None:
    hosts = (
        _host("ash", 0, HostState.SUCCEEDED),
        _host("oak", 1, HostState.PENDING),
        _host("elm", 1, HostState.FAILED, reason="unhealthy after 60 s: " + "it exited " * 20),
        _host("yew", 1, HostState.PULLING, phase="pull", bytes=5, total=10, mirror="https://harbor.example.com/hub"),
    )
    drawn = [line for line, _ in lines(_answer(WaveState.PASSED, WaveState.OPEN, *hosts), width)]
    assert max(map(len, drawn)) <= width
    assert [line.split()[1] for line in drawn[1:]] == ["wave", "wave", "yew", "elm", "oak"]
    assert ("via harbor" in "".join(drawn)) is (width > 40)


def test_what_is_too_much_to_draw_is_counted() -> None:
    hosts = [_host(f"h{n:03}", 1, HostState.PENDING) for n in range(50)]
    drawn = [line for line, _ in lines(_answer(WaveState.PASSED, WaveState.OPEN, *hosts), 80)]
    assert (len(drawn), drawn[-1]) == (3 + MOST_ROWS + 1, "  and 30 pending")


def test_the_hosts_of_the_only_wave_are_drawn_before_it_is_opened() -> None:
    answer = _answer(WaveState.PENDING, WaveState.PENDING, _host("ash", 0, HostState.PENDING))
    drawn = lines(answer.model_copy(update={"waves": answer.waves[:1]}), 80)
    assert [line for line, _ in drawn][1:] == ["○ ash  web  pending"]


def test_a_host_that_pulls_ahead_is_drawn_under_its_wave_before_that_is_opened() -> None:
    yew = _host("yew", 1, HostState.PENDING, phase="pull", bytes=5, total=10, mirror="https://harbor.lan")
    drawn = [line for line, _ in lines(_answer(WaveState.SOAKING, WaveState.PENDING, yew), 80)]
    assert drawn[-1].split()[:4] == ["○", "yew", "web", "pulling"]
    assert "via harbor.lan" in drawn[-1]
