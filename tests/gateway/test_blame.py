"""What follows from what a source failed by: how long the next round waits, and who is asked in it."""

from typing import Any, cast

import pytest

from fleet.gateway.faults import Faults
from fleet.gateway.ledger import Ledger
from fleet.gateway.limits import Limits
from fleet.gateway.verdict import Verdict
from fleet.gateway.wanted import Means, Wanted
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.breakers import Breakers
from fleet.mirrors.endpoint import parse_endpoint
from fleet.mirrors.source import Role, Source
from fleet.mirrors.strangers import Strangers
from fleet.mirrors.table import MirrorTable
from fleet.testing.clock import ManualClock

A, B = (Source(endpoint=parse_endpoint(f"http://{name}"), role=Role.MIRROR) for name in "ab")
LIMITS = Limits(pause_s=0.5, longest_retry_after_s=10)


@pytest.fixture
def faults() -> Faults:
    """Know of no failure yet."""
    clock, nobody = ManualClock(), cast(Any, None)
    means = Means(
        table=MirrorTable(),
        own=frozenset(),
        upstreams=nobody,
        breakers=Breakers(clock),
        strangers=Strangers(clock),
        ledger=Ledger(),
        limits=LIMITS,
        clock=clock,
        spare=nobody,
        via="fleet",
    )
    wanted = Wanted(reference=Reference.parse("app:1"), kind="blobs", digest=Digest.of(b"layer"), size=5, cap=5)
    return Faults(wanted=wanted, means=means)


def blame(faults: Faults, source: Source, result: AttemptResult, *, rest_s: float | None, gave: bool = False) -> None:
    """Let a source fail."""
    faults.blame(source, Verdict(result=result, reason="no", retry_after_s=rest_s), waited_s=0.0, gave=gave)


@pytest.mark.parametrize("rests", [(2.0, 5.0), (5.0, 2.0)])
def test_of_several_that_ask_for_a_rest_the_shortest_is_waited_for(faults: Faults, rests: tuple[float, float]) -> None:
    for source, rest_s in zip((A, B), rests, strict=True):
        blame(faults, source, AttemptResult.RATE_LIMITED, rest_s=rest_s)
    assert faults.rest_s == 2.0
    assert faults.useless == {}


def test_one_that_asks_for_too_long_a_rest_is_left_and_nobody_waits_for_it(faults: Faults) -> None:
    blame(faults, A, AttemptResult.RATE_LIMITED, rest_s=LIMITS.longest_retry_after_s + 1)
    assert faults.rest_s == 0.0
    assert set(faults.useless) == {A.name}


def test_one_that_says_too_often_and_not_for_how_long_is_given_a_short_rest(faults: Faults) -> None:
    blame(faults, A, AttemptResult.RATE_LIMITED, rest_s=None)
    assert faults.rest_s == LIMITS.pause_s


@pytest.mark.parametrize(
    ("result", "gave", "again"),
    [
        (AttemptResult.CUT, False, True),
        (AttemptResult.SERVER_ERROR, False, True),
        (AttemptResult.STALLED, True, True),
        (AttemptResult.STALLED, False, False),
        (AttemptResult.TIMEOUT, True, False),
        (AttemptResult.NOT_FOUND, False, False),
        (AttemptResult.WRONG_BYTES, True, False),
    ],
)
def test_who_is_asked_again(faults: Faults, result: AttemptResult, gave: bool, again: bool) -> None:
    blame(faults, A, result, rest_s=None, gave=gave)
    assert (A.name not in faults.useless) is again
