"""A breaker leaves an endpoint alone after what costs time or trust, and lets one request try again."""

import pytest

from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.breakers import ABSENT_S, ERRORS_WINDOW_S, LIAR_OPEN_S, LONG_S, LONGEST_OPEN_S, OPEN_S, Breakers
from fleet.testing.clock import ManualClock

AT_ONCE = ["unreachable", "timeout", "stalled", "slow", "wrong_bytes", "rate_limited"]

FOR_ALL = ["unreachable", "timeout", "stalled", "wrong_bytes"]


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
    breakers.failed("a", "blobs", result)
    assert set(breakers.open("blobs")) == ({"a"} if result in AT_ONCE else set())
    assert set(breakers.open("manifests")) == ({"a"} if result in FOR_ALL else set())


def test_three_server_errors_within_a_minute_open_it(breakers: Breakers, clock: ManualClock) -> None:
    for wait_s in (0, ERRORS_WINDOW_S + 1, 1):
        clock.advance(wait_s)
        breakers.failed("a", "blobs", AttemptResult.SERVER_ERROR)
    assert not breakers.open("blobs")
    breakers.failed("a", "blobs", AttemptResult.SERVER_ERROR)
    assert breakers.open("blobs")


@pytest.mark.parametrize("result", [r for r in AttemptResult if r not in FOR_ALL])
def test_whatever_fails_after_a_long_time_is_left_alone_with_everything(
    breakers: Breakers, clock: ManualClock, result: AttemptResult
) -> None:
    breakers.failed("a", "blobs", result, waited_s=LONG_S)
    assert set(breakers.open("blobs")) == set(breakers.open("manifests")) == {"a"}
    assert " 0 s ago, and is left alone for" in breakers.open("blobs")["a"]


def test_shorter_waits_add_up_unless_it_says_no(breakers: Breakers, clock: ManualClock) -> None:
    """An endpoint that takes two seconds to say that something is not there is well; one that breaks off then is not."""
    for _ in range(3):
        breakers.failed("a", "blobs", AttemptResult.NOT_FOUND, waited_s=LONG_S * 0.6)
    assert not breakers.open("blobs")
    breakers.failed("a", "blobs", AttemptResult.CUT, waited_s=LONG_S * 0.6)
    clock.advance(ERRORS_WINDOW_S)
    breakers.failed("a", "blobs", AttemptResult.CUT, waited_s=LONG_S * 0.6)
    assert not breakers.open("blobs")
    breakers.failed("a", "blobs", AttemptResult.CUT, waited_s=LONG_S * 0.6)
    assert breakers.open("blobs")
    assert not breakers.open("manifests")


def test_after_its_time_one_request_tries_and_the_others_wait(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", "blobs", AttemptResult.TIMEOUT)
    clock.advance(OPEN_S)
    assert not breakers.open("blobs")
    breakers.asking("a", "blobs")
    assert breakers.open("blobs")
    breakers.succeeded("a", "blobs")
    assert not breakers.open("blobs")
    breakers.asking("a", "blobs")
    assert not breakers.open("blobs")


def test_a_failed_trial_doubles_the_time_up_to_a_limit(breakers: Breakers, clock: ManualClock) -> None:
    for expected_s in (60, 120, 240, 480, LONGEST_OPEN_S, LONGEST_OPEN_S):
        breakers.failed("a", "blobs", AttemptResult.UNREACHABLE)
        clock.advance(expected_s - 1)
        assert breakers.open("blobs")
        clock.advance(1)
        assert not breakers.open("blobs")


def test_a_trial_that_was_given_up_leaves_the_next_one_free(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", "blobs", AttemptResult.TIMEOUT)
    clock.advance(OPEN_S)
    breakers.asking("a", "blobs")
    breakers.released("a", "blobs")
    assert not breakers.open("blobs")


def test_a_liar_is_left_alone_for_long(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", "blobs", AttemptResult.WRONG_BYTES)
    clock.advance(LIAR_OPEN_S - 1)
    assert breakers.open("blobs")


def test_a_rest_that_a_registry_asks_for_is_given(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", "blobs", AttemptResult.RATE_LIMITED, retry_after_s=700)
    clock.advance(699)
    assert breakers.open("blobs")
    clock.advance(1)
    assert not breakers.open("blobs")


def test_an_endpoint_that_answers_no_is_well(breakers: Breakers) -> None:
    breakers.failed("a", "blobs", AttemptResult.TIMEOUT)
    breakers.failed("a", "blobs", AttemptResult.NOT_FOUND)
    assert not breakers.open("blobs")


def test_an_absence_is_believed_of_one_digest_for_a_while(breakers: Breakers, clock: ManualClock) -> None:
    breakers.missing("a", "sha256:1", "404")
    assert breakers.absent("sha256:1") == {"a": "404"}
    assert breakers.absent("sha256:2") == {}
    clock.advance(ABSENT_S)
    assert breakers.absent("sha256:1") == {}


def test_a_server_error_that_names_its_rest_opens_it_until_then(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", "blobs", AttemptResult.SERVER_ERROR, retry_after_s=90)
    clock.advance(89)
    assert breakers.open("blobs")
    clock.advance(1)
    assert not breakers.open("blobs")


def test_doing_well_with_one_class_says_nothing_of_the_other(breakers: Breakers, clock: ManualClock) -> None:
    """A mirror that gives manifests and hangs on blobs would else cost its ten seconds at every pull."""
    breakers.failed("a", "blobs", AttemptResult.TIMEOUT)
    clock.advance(OPEN_S)
    breakers.succeeded("a", "manifests")
    breakers.failed("a", "blobs", AttemptResult.TIMEOUT)
    clock.advance(2 * OPEN_S - 1)
    assert breakers.open("blobs")
    assert not breakers.open("manifests")


def test_the_reason_tells_what_happened_when_and_how_long_it_lasts(breakers: Breakers, clock: ManualClock) -> None:
    breakers.failed("a", "blobs", AttemptResult.TIMEOUT)
    clock.advance(18)
    assert breakers.open("blobs")["a"] == (
        "not asked: it did not answer in time 18 s ago, and is left alone for 42 s more"
    )
    clock.advance(42)
    breakers.asking("a", "blobs")
    assert breakers.open("blobs")["a"] == (
        "not asked: it did not answer in time 60 s ago, and another request is trying it now"
    )
