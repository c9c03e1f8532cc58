"""What people write on containers is read as they meant it, under either prefix."""

import pytest

from fleet.updates.labels import WATCHTOWER, duration_ms, label, says, scope

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("30s", 30_000),
        ("90m", 90 * 60_000),
        ("48h", 48 * HOUR_MS),
        ("3d", 72 * HOUR_MS),
        ("1w", 168 * HOUR_MS),
        ("1h30m", 90 * 60_000),
        ("1.5h", 90 * 60_000),
        (" 2H ", 2 * HOUR_MS),
    ],
)
def test_a_duration_is_read(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1y", "1h 30m", "1.h", "1e3s", "１h"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration_ms(text) is None


def test_the_own_prefix_wins_and_the_other_is_read() -> None:
    both = {"fleet.scope": " lab ", f"{WATCHTOWER}scope": "prod"}
    assert (label(both, "scope"), scope(both)) == ("lab", "lab")
    assert scope({f"{WATCHTOWER}scope": "prod"}) == "prod"
    assert scope({}) == scope({"fleet.scope": " "}) == "none"


@pytest.mark.parametrize(
    ("text", "said"), [("TRUE", True), ("1", True), ("on", True), ("No", False), ("0", False), ("maybe", None)]
)
def test_yes_and_no_may_be_written_in_several_ways(text: str, said: bool | None) -> None:
    assert says({"fleet.enable": text}, "enable") is said
    assert says({}, "enable") is None
