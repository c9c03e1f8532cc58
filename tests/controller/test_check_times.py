"""When a tag is asked for again."""

from datetime import UTC, datetime, timedelta

from fleet.controller.check import is_due
from fleet.history.registries.tags import TagRow

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def tag(checked_at: datetime | None, leased_until: datetime | None = None) -> TagRow:
    """Return a tag that was asked for at that time."""
    return TagRow(
        image="i",
        digest="",
        endpoint="",
        reason="",
        resolved_at=None,
        checked_at=checked_at,
        leased_until=leased_until,
    )


def test_a_tag_that_was_never_asked_for_is_due() -> None:
    assert is_due("i", None, NOON, 3600)
    assert is_due("i", tag(None), NOON, 3600)


def test_a_tag_is_due_after_the_interval_at_the_latest_and_never_much_earlier() -> None:
    for n in range(50):
        image = f"registry/app:{n}"
        assert not is_due(image, tag(NOON - timedelta(seconds=3600 * 0.89)), NOON, 3600)
        assert is_due(image, tag(NOON - timedelta(seconds=3600)), NOON, 3600)


def test_a_tag_whose_check_never_ended_is_due_once_others_may_ask() -> None:
    just_now, minute = NOON - timedelta(minutes=6), timedelta(minutes=1)
    assert not is_due("i", tag(just_now, leased_until=NOON + minute), NOON, 3600)
    assert is_due("i", tag(just_now, leased_until=NOON), NOON, 3600)


def test_tags_spread_out() -> None:
    at = tag(NOON - timedelta(seconds=3600 * 0.95))
    due = sum(is_due(f"registry/app:{n}", at, NOON, 3600) for n in range(200))
    assert 50 < due < 150
