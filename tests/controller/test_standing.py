"""How containers stand to the tags that they follow, and whether they may be updated."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fleet.controller.standing import Freshness, stand, trusted
from fleet.history.registries.tags import TagRow
from fleet.rollouts.trust import ResolvePolicy, WithoutOrigin
from tests.controller.test_drawing import NEW, NOON, OLD, container, tag


def test_a_tag_that_moved_on_makes_a_container_outdated() -> None:
    standing = stand(container(), tag())
    assert (standing.freshness, standing.updatable) == (Freshness.OUTDATED, True)
    assert (standing.old_digest, standing.new_digest, standing.reason) == (OLD, NEW, "")


def test_any_of_its_digests_makes_a_container_current() -> None:
    assert stand(container(digests=(OLD, NEW)), tag()).freshness is Freshness.CURRENT


def test_a_failed_check_never_reads_as_fresh() -> None:
    standing = stand(container(digests=(NEW,)), tag(reason="cannot reach it"))
    assert (standing.freshness, standing.reason) == (Freshness.UNKNOWN, "cannot reach it")


@pytest.mark.parametrize("known", [None, tag(digest=""), tag(digest="", reason="cannot read it: 404")])
def test_a_tag_that_was_never_resolved_leaves_it_unknown(known: TagRow | None) -> None:
    standing = stand(container(), known)
    assert (standing.freshness, standing.updatable) == (Freshness.UNKNOWN, False)
    assert standing.reason == (known.reason if known and known.reason else "its tag was not checked yet")


def test_what_is_left_alone_may_be_outdated_all_the_same() -> None:
    standing = stand(container(labels={"fleet.ignore": "true"}), tag())
    assert (standing.freshness, standing.updatable) == (Freshness.OUTDATED, False)


def test_a_digest_that_is_too_young_waits_and_says_how_long() -> None:
    young = replace(tag(), first_seen_at=NOON)
    policy = ResolvePolicy(min_age_ms=3 * 3_600_000)
    waiting = trusted(stand(container(), young), young, policy, NOON + timedelta(minutes=30))
    assert (waiting.updatable, waiting.freshness) == (False, Freshness.OUTDATED)
    assert "2 h" in waiting.reason
    assert trusted(stand(container(), young), young, policy, NOON + timedelta(hours=3)).updatable


def test_a_tag_that_went_back_is_not_planned_from() -> None:
    back = replace(tag(reason="cannot follow it back"), refused_digest=OLD)
    refused = trusted(stand(container(), back), back, ResolvePolicy(), NOON)
    assert (refused.updatable, refused.reason) == (False, "cannot follow it back")


def test_an_older_answer_is_planned_from_unless_the_policy_says_to_fail() -> None:
    failed = tag(reason="cannot reach it")
    assert trusted(stand(container(), failed), failed, ResolvePolicy(), NOON).updatable
    fail = ResolvePolicy(without_origin=WithoutOrigin.FAIL)
    assert not trusted(stand(container(), failed), failed, fail, NOON).updatable
