"""What registries ask for is read whatever its spelling, and only the right to pull is asked for."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.registry.challenge import Challenge, parse_challenges, pull_scope

CASES = json.loads(Path(__file__).with_name("challenges.json").read_bytes())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["values"])[:70])
def test_challenges_are_read(case: dict[str, Any]) -> None:
    """Every challenge of every header comes out, with its parameters unquoted."""
    found = parse_challenges(case["values"])
    assert [[c.scheme, dict(c.parameters)] for c in found] == case["challenges"]
    if case["scope"]:
        assert pull_scope(found[-1], "asked/for") == case["scope"]


def test_no_scope_where_there_is_no_repository() -> None:
    """A ping asks for a token without a scope."""
    assert pull_scope(Challenge("bearer", {"realm": "x"}), "") == ""


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_header_is_read_without_an_error(values: list[str]) -> None:
    """A header that makes no sense gives fewer challenges, never an exception."""
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize("value", ["a=" * 20000, "Bearer " + 'a="\\' * 5000, "x " * 30000, "," * 50000])
def test_a_hostile_header_costs_no_time(value: str) -> None:
    """No header makes the reader slow."""
    started = time.monotonic()
    parse_challenges([value])
    assert time.monotonic() - started < 20
