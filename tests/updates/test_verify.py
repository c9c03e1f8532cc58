"""A container is good when its HEALTHCHECK says so, or when it has run for a while."""

import pytest

from fleet.engine.protocol import Inspect
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.testing.engine_images import Behaviour
from fleet.updates.command import VerifyPolicy
from fleet.updates.probe import Probe
from fleet.updates.verify import _last_output, _trouble, deadline_ms, verify

S = 10**9
PROBE = {"Test": ["CMD", "probe"], "Interval": S, "Timeout": S, "Retries": 3, "StartPeriod": 2 * S}
POLICY = VerifyPolicy(settle_ms=5_000, deadline_ms=60_000)


def verified(
    behaviour: Behaviour, *, probe: object = None, policy: VerifyPolicy = POLICY, always: bool = False
) -> tuple[str, float]:
    """Run a container that behaves so; return what verify says, and how long that took."""
    clock = ManualClock()
    engine = MemoryEngine(clock)
    engine.add_image("app:1", behaviour=behaviour)
    body = {"HostConfig": {"RestartPolicy": {"Name": "always" if always else "no"}}}
    web = engine.run("web", "app:1", **body, **({"Healthcheck": probe} if probe else {}))
    began = clock.monotonic()
    return verify(engine, web, policy, clock=clock), clock.monotonic() - began


def test_without_a_probe_it_must_run_for_the_settle_time() -> None:
    assert verified(Behaviour()) == ("", 5.0)


def test_with_a_probe_it_is_good_as_soon_as_it_is_healthy() -> None:
    reason, took_s = verified(Behaviour(health_after_s=1.0), probe=PROBE)
    assert reason == ""
    assert 1.0 <= took_s < 1.5


def test_a_probe_that_is_switched_off_is_none() -> None:
    assert verified(Behaviour(health="unhealthy"), probe={"Test": ["NONE"]}) == ("", 5.0)


def test_unhealthy_is_told_with_the_probes_own_words() -> None:
    reason, _ = verified(Behaviour(health="unhealthy"), probe=PROBE)
    assert reason == "cannot get the new container healthy: its HEALTHCHECK ended with code 1: probe failed"


def test_a_probe_that_never_answers_is_waited_for_as_long_as_its_timing_says() -> None:
    reason, took_s = verified(Behaviour(health="starting"), probe=PROBE)
    assert reason == "cannot get the new container healthy within 8 s: its HEALTHCHECK has not answered yet"
    assert took_s == pytest.approx(8.0)


def test_the_policy_caps_the_wait() -> None:
    policy = VerifyPolicy(settle_ms=1, deadline_ms=3_000)
    reason, took_s = verified(Behaviour(health="starting"), probe=PROBE, policy=policy)
    assert "within 3 s" in reason
    assert took_s == pytest.approx(3.0)


@pytest.mark.parametrize("after_s", [0.0, 0.3, 4.9])
def test_one_that_ends_is_told_with_its_code(after_s: float) -> None:
    reason, took_s = verified(Behaviour(exits_after_s=after_s, exit_code=7))
    assert reason == "cannot keep the new container running: it exited with code 7"
    assert took_s <= after_s + 0.5


@pytest.mark.parametrize("after_s", [0.0, 0.3, 4.9])
def test_one_that_the_engine_restarts_is_not_good(after_s: float) -> None:
    reason, _ = verified(Behaviour(exits_after_s=after_s, exit_code=1), always=True)
    assert reason.startswith("cannot keep the new container running: ")


def test_one_that_was_restarted_before_the_first_look_is_not_good() -> None:
    """It ended and was started again while nobody looked: its count of restarts tells."""
    clock = ManualClock()
    engine = MemoryEngine(clock)
    engine.add_image("app:1", behaviour=Behaviour(exits_after_s=1.0, exit_code=1))
    web = engine.run("web", "app:1", HostConfig={"RestartPolicy": {"Name": "always"}})
    clock.advance(1.5)
    engine.behave("web", Behaviour())
    assert engine.running()["web"]["RestartCount"] == 1
    reason = verify(engine, web, POLICY, clock=clock)
    assert reason == "cannot keep the new container running: it restarted"


def test_one_that_is_gone_is_not_good() -> None:
    assert verify(MemoryEngine(), "f" * 64, POLICY, clock=ManualClock()) == "cannot find the new container any more"


def test_what_a_probe_leaves_out_is_as_the_engine_takes_it() -> None:
    long = VerifyPolicy(deadline_ms=10**9)
    assert deadline_ms({"Config": {"Healthcheck": {"Test": ["CMD", "x"]}}}, long) == 180_000


def probed(labels: dict[str, str], answers: list[str], *, behaviour: Behaviour | None = None) -> tuple[str, float]:
    """Verify a container with *labels* whose probes get *answers* in turn, the last one for ever."""
    clock = ManualClock()
    engine = MemoryEngine(clock)
    engine.add_image("app:1", behaviour=behaviour or Behaviour())
    web = engine.run("web", "app:1", Labels=labels)
    began = clock.monotonic()

    def answer(probe: Probe, inspect: Inspect) -> str:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    return verify(engine, web, POLICY, clock=clock, ask=answer), clock.monotonic() - began


def test_a_probe_by_label_is_asked_once_it_has_settled() -> None:
    assert probed({"fleet.probe.tcp": "80"}, [""]) == ("", 5.0)


def test_a_probe_by_label_may_answer_late() -> None:
    reason, took_s = probed({"fleet.probe.http": "80/health"}, ["it answered with status 503"] * 8 + [""])
    assert (reason, took_s) == ("", 7.0)


def test_a_probe_by_label_that_stays_bad_is_told_at_the_deadline() -> None:
    reason, took_s = probed({"fleet.probe.http": "80/health"}, ["it answered with status 503"])
    told = "cannot get an answer from the new container by its HTTP probe of 80/health: it answered with status 503"
    assert reason == told
    assert took_s == pytest.approx(60.0)


def test_one_that_ends_while_its_probe_is_asked_is_told_with_its_code() -> None:
    reason, _ = probed({"fleet.probe.tcp": "80"}, ["no"], behaviour=Behaviour(exits_after_s=9, exit_code=4))
    assert reason == "cannot keep the new container running: it exited with code 4"


def test_a_probe_that_cannot_be_read_is_not_good() -> None:
    assert probed({"fleet.probe.tcp": "http"}, [""])[0] == "cannot read the label fleet.probe.tcp: 'http' is not a port"


def test_the_health_log_is_told_latest_first_and_each_thing_once() -> None:
    log = [{"ExitCode": code, "Output": text} for code, text in ((1, "a"), (1, "b"), (2, "c"), (1, "d"), (1, "d\n"))]
    told = _last_output({"State": {"Health": {"Log": log}}})
    assert told == "its HEALTHCHECK ended with code 1: d; before that with code 2: c; before that with code 1: b"


def test_one_that_ran_out_of_memory_says_so() -> None:
    state = {"Running": False, "ExitCode": 137, "OOMKilled": True}
    assert "(it was killed: it needed more memory than its limit)" in _trouble({}, {"State": state})
