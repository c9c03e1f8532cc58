"""Columns by their names, and rows in an order that people expect."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cli import view
from fleet.errors import BadInput

KNOWN = ("HOST", "PASSED OVER", "tls_not_after", "")


def test_columns_stand_in_the_order_in_which_they_were_named() -> None:
    assert view.places(KNOWN, "tls-not-after,host") == [2, 0]
    assert view.places(KNOWN, "Passed over, HOST") == [1, 0]


@pytest.mark.parametrize("given", ["", "host,", "hots", "host;passed-over"])
def test_a_column_that_is_not_there_is_told_with_those_that_are(given: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot find the column .*; there are host, passed-over, tls-not-after$"):
        view.places(KNOWN, given)


def _sorted(*values: object, downwards: bool = False) -> list[object]:
    return view.sort(values, lambda value: value, downwards=downwards)


def test_numbers_in_names_count_as_numbers() -> None:
    assert _sorted("web-10", "web-2", "Web-1", "db") == ["db", "Web-1", "web-2", "web-10"]
    assert _sorted(10, 9.5, -1) == [-1, 9.5, 10]


def test_times_are_sorted_as_instants() -> None:
    noon = datetime(2026, 11, 27, 12, tzinfo=UTC)
    east = (noon - timedelta(minutes=1)).astimezone(timezone(timedelta(hours=9)))
    assert _sorted(noon, east) == [east, noon]


def test_what_has_no_value_comes_last_either_way() -> None:
    assert _sorted(None, 2, 1) == [1, 2, None]
    assert _sorted("-", "b", "", "a", downwards=True) == ["b", "a", "-", ""]


@given(st.lists(st.text(max_size=8)))
def test_any_texts_have_an_order(texts: list[str]) -> None:
    assert sorted(map(str, _sorted(*texts))) == sorted(texts)
