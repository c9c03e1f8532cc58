"""A breaker leaves an endpoint alone after what costs time or trust, and lets one request try again."""

import pytest

from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.breakers import ABSENT_S, ERRORS_WINDOW_S, LIAR_OPEN_S, LONGEST_OPEN_S, OPEN_S, Breakers
from fleet.testing.clock import ManualClock

AT_ONCE = ["unreachable", "timeout", "stalled", "slow", "wrong_bytes", "rate_limited"]


@pytest.fixture
def clock() -> ManualClock:
    """Stand."""
    return ManualClock()


@pytest.fixture
def breakers(clock: ManualClock) -> Breakers:
    """Be all closed."""
    return Breakers(clock)


@pytest.mark.parametrize("result", AttemptResult)
def test_what_opens_at_once_and_what_does_not(breakers: Breakers, result: AttemptResult) -> None:
    breakers.failed("a", result, "why")
    assert dict(breakers.open()) == ({"a": "why"} if result in AT_ONCE else {})


def test_three_server_errors_within_a_minute_open_it(breakers: Breakers, clock: ManualClock) -> None:
    for wait_s in (0, ERRORS_WINDOW_S + 1, 1):
        clock.advance(wait_s)
        breakers.failed("a", AttemptResult.SERVER_ERROR, "500")
    assert not breakers.open()
    breakers.failed("a", AttemptResult.SERVER_ERROR, "500")
    assert breakers.open()


def test_after_its_time_one_request_tries_and_the_others_wait(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", AttemptResult.TIMEOUT, "why")
    clock.advance(OPEN_S)
    assert not breakers.open()
    breakers.asking("a")
    assert breakers.open()
    breakers.succeeded("a")
    assert not breakers.open()
    breakers.asking("a")
    assert not breakers.open()


def test_a_failed_trial_doubles_the_time_up_to_a_limit(breakers: Breakers, clock: ManualClock) -> None:
    for expected_s in (60, 120, 240, 480, LONGEST_OPEN_S, LONGEST_OPEN_S):
        breakers.failed("a", AttemptResult.UNREACHABLE, "why")
        clock.advance(expected_s - 1)
        assert breakers.open()
        clock.advance(1)
        assert not breakers.open()


def test_a_trial_that_was_given_up_leaves_the_next_one_free(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", AttemptResult.TIMEOUT, "why")
    clock.advance(OPEN_S)
    breakers.asking("a")
    breakers.released("a")
    assert not breakers.open()


def test_a_liar_is_left_alone_for_long(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", AttemptResult.WRONG_BYTES, "why")
    clock.advance(LIAR_OPEN_S - 1)
    assert breakers.open()


def test_a_rest_that_a_registry_asks_for_is_given(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", AttemptResult.RATE_LIMITED, "429", retry_after_s=700)
    clock.advance(699)
    assert breakers.open()
    clock.advance(1)
    assert not breakers.open()


def test_an_endpoint_that_answers_no_is_well(breakers: Breakers) -> None:
    breakers.failed("a", AttemptResult.TIMEOUT, "why")
    breakers.failed("a", AttemptResult.NOT_FOUND, "404")
    assert not breakers.open()


def test_an_absence_is_believed_of_one_digest_for_a_while(breakers: Breakers, clock: ManualClock) -> None:
    breakers.missing("a", "sha256:1", "404")
    assert breakers.absent("sha256:1") == {"a": "404"}
    assert breakers.absent("sha256:2") == {}
    clock.advance(ABSENT_S)
    assert breakers.absent("sha256:1") == {}
