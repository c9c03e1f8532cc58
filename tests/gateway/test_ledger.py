"""The account of a pull: each byte once, and each source by what it is known for."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.gateway.ledger import Ledger
from fleet.gateway.pace import Pace
from fleet.gateway.sink import Segment
from fleet.gateway.verdict import Verdict
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.endpoint import parse_endpoint
from fleet.mirrors.source import Role, Source

A, B = (Source(endpoint=parse_endpoint(f"http://{name}"), role=Role.MIRROR) for name in "ab")
SEGMENTS = (Segment(source="http://a", start=0, end=60), Segment(source="http://b", start=60, end=100))
SPANS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda two: (min(two), max(two))), max_size=8)


@given(SPANS)
def test_bytes_that_the_engine_got_count_once_and_for_who_gave_them(spans: list[tuple[int, int]]) -> None:
    ledger = Ledger()
    for start, end in spans:
        ledger.passed("sha256:1", start, end, SEGMENTS)
    got = {at for start, end in spans for at in range(start, end)}
    by_a, by_b = (attempt.bytes for attempt in ledger.attempts([A, B]))
    assert by_a == len({at for at in got if at < 60})
    assert by_b == len({at for at in got if at >= 60})


def test_a_lie_is_told_before_an_earlier_failure() -> None:
    ledger = Ledger()
    for result in (AttemptResult.NOT_FOUND, AttemptResult.WRONG_BYTES):
        ledger.asked("http://a", 0)
        ledger.failed("http://a", Verdict(result=result, reason=str(result)))
    (attempt,) = ledger.attempts([A])
    assert (attempt.result, attempt.failures, attempt.requests) == ("wrong_bytes", 2, 2)


def test_a_source_left_out_says_why_until_it_is_asked() -> None:
    ledger = Ledger()
    ledger.skipped("http://a", AttemptResult.BREAKER_OPEN, "it was refused")
    assert ledger.attempts([A])[0].result == "breaker_open"
    assert ledger.failures([A, B]) == "http://a: it was refused"


def test_a_source_that_was_not_needed_was_not_asked() -> None:
    (attempt,) = Ledger().attempts([A])
    assert (attempt.result, attempt.requests, attempt.failures, attempt.verified) == ("unused", 0, 0, False)


def test_a_body_is_slow_only_over_a_whole_window() -> None:
    pace = Pace(0.0, floor_bytes_s=100, window_s=8)
    for second in range(1, 8):
        pace.add(second, 10)
        assert not pace.too_slow(second)
    pace.add(8, 10)
    assert pace.too_slow(8)


def test_a_fast_beginning_does_not_hide_a_slow_rest() -> None:
    pace = Pace(0.0, floor_bytes_s=100, window_s=8)
    pace.add(1, 10_000_000)
    told: list[int] = []
    for second in range(2, 60):
        pace.add(second, 1)
        told += [second] if pace.too_slow(second) else []
    assert told[0] <= 11


def test_a_body_at_the_floor_is_never_slow() -> None:
    pace = Pace(0.0, floor_bytes_s=100, window_s=8)
    for tenth in range(1, 600):
        pace.add(tenth / 10, 11)
        assert not pace.too_slow(tenth / 10)
