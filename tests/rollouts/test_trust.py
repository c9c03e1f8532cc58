"""Whom to believe which digest a tag has, and when: what people write, and what follows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.errors import BadInput
from fleet.rollouts.policy import merged, read_policy
from fleet.rollouts.trust import ORIGIN_ALONE, ResolvePolicy, WithoutOrigin, read_resolve

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_nothing_written_believes_the_origin_alone_at_any_age() -> None:
    assert read_resolve({}) == ORIGIN_ALONE
    assert not ORIGIN_ALONE.may_go_back("docker.io/library/nginx:1")
    assert ORIGIN_ALONE.too_young(None, NOON) is None


def test_everything_can_be_written() -> None:
    written = {"without_origin": "quorum", "quorum": 3, "allow_back": ["ghcr.io/*"], "min_age": "3d"}
    assert read_resolve({"resolve": written}) == ResolvePolicy(
        without_origin=WithoutOrigin.QUORUM, quorum=3, allow_back=("ghcr.io/*",), min_age_ms=3 * 86_400_000
    )
    assert read_resolve({"resolve": {"allow_back": True}}).may_go_back("any/thing:1")


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"without_origin": "guess"}, "resolve.without_origin"),
        ({"quorum": 0}, "resolve.quorum"),
        ({"min_age": "soon"}, "resolve.min_age"),
        ({"unknown": 1}, "resolve.unknown"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_policy_refused(document: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput, match=place):
        read_policy({"resolve": document}, "the policy")


def test_a_digest_waits_until_it_is_as_old_as_asked_for() -> None:
    policy = ResolvePolicy(min_age_ms=3_600_000)
    assert policy.too_young(NOON, NOON + timedelta(minutes=59)) == timedelta(minutes=1)
    assert policy.too_young(NOON, NOON + timedelta(hours=1)) is None
    assert policy.too_young(None, NOON) == timedelta(hours=1), "one of which nothing is known is new"


@pytest.mark.parametrize("nothing", ["0s", "0d", 0])
def test_one_host_may_be_spared_the_age_that_the_fleet_asks_for(nothing: object) -> None:
    document = merged([{"resolve": {"min_age": "3d", "quorum": 3}}, {"resolve": {"min_age": nothing}}])
    assert read_resolve(document) == ResolvePolicy(quorum=3)
