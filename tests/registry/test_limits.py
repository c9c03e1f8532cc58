"""What registries say about being asked too often."""

from datetime import timedelta

import pytest

from fleet.registry.limits import LONGEST_WAIT_S, RateLimit, rate_limit, retry_after_s
from tests.registry.asking import START


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        (
            {
                "ratelimit-limit": "100;w=21600",
                "ratelimit-remaining": "76;w=21600",
                "docker-ratelimit-source": "192.0.2.1",
            },
            RateLimit(limit=100, remaining=76, window_s=21600, source="192.0.2.1"),
        ),
        ({"ratelimit-limit": "5", "ratelimit-remaining": "0"}, RateLimit(limit=5, remaining=0, window_s=0)),
        ({"ratelimit-limit": "5", "ratelimit-remaining": "1;w=60"}, RateLimit(limit=5, remaining=1, window_s=60)),
        ({"ratelimit-limit": "100;w=21600"}, None),
        ({"ratelimit-limit": "many", "ratelimit-remaining": "few"}, None),
        ({}, None),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], limit: RateLimit | None) -> None:
    """Docker Hub's headers are read; half of them or nonsense is no limit."""
    assert rate_limit(headers) == limit


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("999999999", LONGEST_WAIT_S),
        ("Mon, 02 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 02 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 02 Nov 2037 11:00:00 GMT", LONGEST_WAIT_S),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("99999999999999", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds and dates are read, the past is now, and nobody makes Fleet wait for more than a day."""
    assert retry_after_s({"retry-after": value}, START) == seconds


def test_retry_after_is_judged_by_the_clock_that_is_handed_in() -> None:
    """The same date is nearer a minute later."""
    header = {"retry-after": "Mon, 02 Nov 2026 12:01:30 GMT"}
    assert retry_after_s(header, START + timedelta(seconds=60)) == 30.0


@pytest.mark.parametrize(
    ("date", "seconds"),
    [("Mon, 02 Nov 2026 12:01:00 GMT", 30.0), ("Sun, 01 Nov 2026 12:01:30 GMT", LONGEST_WAIT_S), ("soon", 90.0)],
)
def test_a_date_is_counted_from_the_servers_own(date: str, seconds: float) -> None:
    """A clock that is an hour behind would wait for an hour more."""
    header = {"retry-after": "Mon, 02 Nov 2026 12:01:30 GMT", "date": date}
    assert retry_after_s(header, START) == seconds
