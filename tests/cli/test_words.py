"""How values are written for people, and read from them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from fleet.cli import words
from fleet.errors import BadInput

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (41_230_000, "41.2 MB"), (10**16, "10000.0 TB")],
)
def test_sizes_are_in_powers_of_1000(count: int | None, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s ago"), (90, "90s ago"), (120, "2m ago"), (7200, "2h ago"), (172_800, "2d ago"), (-5, "0s ago")],
)
def test_ages_have_one_unit(seconds: int, text: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(None, "-"), (0, "0 ms"), (20, "20 ms"), (99, "99 ms"), (100, "0.1 s"), (61_230, "61.2 s")]
)
def test_what_is_short_is_told_in_milliseconds(ms: int | None, text: str) -> None:
    assert words.seconds(ms) == text


def test_what_never_was_is_never() -> None:
    assert words.ago(None) == "never"


def test_an_id_is_shown_by_its_end() -> None:
    """The first 12 digits are time, so neighbours share them."""
    assert words.short_id(UUID("0192f0c1-2345-7000-8000-0000deadbeef")) == "deadbeef"
    assert words.short_id(None) == "-"


def test_an_unknown_digest_is_a_question_mark() -> None:
    assert words.change("", f"sha256:{'1' * 64}") == "? -> 111111111111"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("7d", 604_800)])
def test_durations_are_read(text: str, seconds: int) -> None:
    assert words.read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "m", "1y", "-5m", "5 m", "9999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot use .* as a duration; expected"):
        words.read_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("2026-11-25T08:00:00Z", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("2026-11-25T08:00:00+02:00", datetime(2026, 11, 25, 6, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, moment: datetime) -> None:
    assert words.read_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "", "25.11.2026"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot use .* as a time; expected"):
        words.read_moment(text)


@pytest.mark.parametrize("text", ["env", "=prod", ""])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected name=value"):
        words.read_pairs((text,))


def test_labels_keep_further_equal_signs() -> None:
    assert words.read_pairs(("a=b=c",)) == {"a": "b=c"}


def test_a_duration_that_must_last_is_no_nothing() -> None:
    assert words.Duration().convert("0s", None, None) == timedelta()
    with pytest.raises(BadInput, match="cannot use '0s' as a duration; expected one that is longer"):
        words.Duration(some=True).convert("0s", None, None)
