"""The plan that follows from how containers stand."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from fleet.controller import draw as drawing
from fleet.controller.draw import Drawn
from fleet.history.inventory.containers import ContainerLike, ContainerRow
from fleet.history.registries.tags import TagRow
from fleet.history.rollouts.alike import Alike, Home, Placed
from fleet.history.rules.policies import EffectivePolicy
from fleet.rollouts.plan import PlanDocument, PlannedHosts
from fleet.rollouts.selection import Selection
from fleet.rollouts.trust import ResolvePolicy
from fleet.updates.command import Policy

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"
HOST = UUID(int=7)
POLICIES = {HOST: EffectivePolicy(document={}, policy=Policy(), hash="h")}
IMAGE = "docker.io/library/nginx:1"


def container(**changes: Any) -> ContainerRow:
    """Return a running container of nginx:1 that runs OLD."""
    row = ContainerRow(
        host_id=HOST,
        host="web-1",
        id="c" * 64,
        name="web",
        reference="nginx:1",
        image=IMAGE,
        image_id=f"sha256:{'a' * 64}",
        digests=(OLD,),
        platform="linux/amd64",
        state="running",
        health="healthy",
        labels={},
        local_build=False,
        first_seen_at=NOON,
        seen_at=NOON,
    )
    return replace(row, **changes)


def alike(
    rows: Sequence[ContainerRow],
    policies: Mapping[UUID, EffectivePolicy] = POLICIES,
    away: Mapping[UUID, datetime | None] = MappingProxyType({}),
) -> Alike:
    """Return the same containers as they are read of a fleet."""
    likes, homes = list[ContainerLike](), [Home(labels={}, policy=policy) for policy in policies.values()]
    placed = []
    for row in rows:
        like = ContainerLike(**{each.name: getattr(row, each.name) for each in fields(ContainerLike)})
        if like not in likes:
            likes.append(like)
        home = list(policies).index(row.host_id)
        placed.append(Placed(row.host, row.host_id.hex, row.name, row.id, likes.index(like), home))
    return Alike(placed=sorted(placed), likes=likes, homes=homes, away={id.hex: heard for id, heard in away.items()})


def drawn(rows: Sequence[ContainerRow], **more: Any) -> Drawn:
    """Return what is drawn of *rows*, where every tag is NEW."""
    return drawing.draw(alike(rows), {IMAGE: tag()}, **more)


def draw(
    rows: Sequence[ContainerRow],
    tags: Mapping[str, TagRow],
    policies: Mapping[UUID, EffectivePolicy],
    *,
    away: Mapping[UUID, datetime | None] = MappingProxyType({}),
    now: datetime | None = None,
) -> PlanDocument:
    """Return the plan of *rows*."""
    return drawing.draw(alike(rows, policies, away), tags, now=now).document


def tag(digest: str = NEW, reason: str = "", image: str = IMAGE) -> TagRow:
    """Return what the check said."""
    return TagRow(
        image=image, digest=digest, endpoint="e", reason=reason, resolved_at=NOON, checked_at=NOON, leased_until=None
    )


LEFT_ALONE: list[tuple[str, dict[str, Any], str]] = [
    ("pinned", {"reference": f"nginx:1@{OLD}", "image": ""}, "pinned"),
    ("by image id", {"reference": "a" * 64, "image": ""}, "image id"),
    ("built here", {"local_build": True, "digests": ()}, "built on this host"),
    ("ignored", {"labels": {"fleet.ignore": "true"}}, "fleet.ignore"),
    ("watched only", {"labels": {"fleet.monitor-only": "true"}}, "monitor-only"),
    ("watched only by Watchtower's label", {"labels": {"com.centurylinklabs.watchtower.monitor-only": "true"}}, "mon"),
    ("switched off", {"labels": {"com.centurylinklabs.watchtower.enable": "false"}}, "enable=false"),
    ("not running", {"state": "exited"}, "only running"),
]


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in LEFT_ALONE], ids=[c[0] for c in LEFT_ALONE])
def test_what_the_agent_would_leave_alone_is_left_out_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    plan = draw([container(**changes)], {IMAGE: tag()}, POLICIES)
    assert plan.containers == 0
    (left_out,) = plan.left_out
    assert (left_out.host, left_out.container) == ("web-1", "web")
    assert reason in left_out.reason


def test_a_plan_pins_what_was_seen() -> None:
    plan = draw([container()], {IMAGE: tag()}, POLICIES)
    (host,) = plan.hosts
    assert (host.host_id, host.host, host.policy) == (HOST, "web-1", "h")
    (planned,) = host.containers
    assert (planned.container, planned.container_id, planned.image_id) == ("web", "c" * 64, f"sha256:{'a' * 64}")
    assert (planned.reference, planned.image, planned.old_digest, planned.digest) == ("nginx:1", IMAGE, OLD, NEW)
    assert (plan.left_out, plan.warnings) == ((), ())


def test_what_is_current_is_not_mentioned() -> None:
    plan = draw([container(digests=(NEW,))], {IMAGE: tag()}, POLICIES)
    assert (plan.hosts, plan.left_out) == (PlannedHosts(), ())


def test_a_container_of_unknown_digest_is_planned_with_a_warning() -> None:
    plan = draw([container(digests=())], {IMAGE: tag()}, POLICIES)
    assert plan.hosts[0].containers[0].old_digest == ""
    assert plan.warnings == ("cannot tell which digest runs now, so the host decides: web-1/web",)


def test_no_healthcheck_is_warned_of_once_for_all() -> None:
    rows = [container(id=str(n) * 64, name=f"c{n}", health="") for n in range(7)]
    (warning,) = draw(rows, {IMAGE: tag()}, POLICIES).warnings
    assert warning.startswith("no HEALTHCHECK")
    assert warning.endswith("web-1/c0, web-1/c1, web-1/c2, web-1/c3, web-1/c4 and 2 more")


def test_what_keeps_data_is_warned_of_with_the_place() -> None:
    """A way back brings an image back, and not what the new one made of the data."""
    kept = {"one": ("/data",), "two": ("/config", "/data"), "none": (), "untold": None}
    rows = [container(id=name[:1] * 64, name=name, keeps=keeps) for name, keeps in kept.items()]
    (warning,) = draw(rows, {IMAGE: tag()}, POLICIES).warnings
    assert warning == (
        "keeps data, which a way back leaves as the new version made it:"
        " web-1/one (/data), web-1/two (/config and 1 more)"
    )


def test_a_silent_host_is_planned_with_a_warning() -> None:
    (warning,) = draw([container()], {IMAGE: tag()}, POLICIES, away={HOST: NOON}).warnings
    assert warning.startswith("host web-1 was last heard of at 2026-11-02 12:00 UTC")
    (never,) = draw([container()], {IMAGE: tag()}, POLICIES, away={HOST: None}).warnings
    assert never.startswith("host web-1 was never heard of")


def test_an_old_answer_is_planned_with_a_warning() -> None:
    (warning,) = draw([container()], {IMAGE: tag(reason="cannot reach it")}, POLICIES).warnings
    assert warning == f"the last check of {IMAGE} failed, so an older answer is planned: cannot reach it"


def test_hosts_and_containers_come_in_the_order_of_their_names() -> None:
    other = UUID(int=3)
    rows = [
        container(name="b", id="b" * 64),
        container(host="app-1", host_id=other, id="d" * 64),
        container(name="a", id="a" * 64),
    ]
    plan = draw(rows, {IMAGE: tag()}, {**POLICIES, other: POLICIES[HOST]})
    assert [(h.host, [c.container for c in h.containers]) for h in plan.hosts] == [
        ("app-1", ["web"]),
        ("web-1", ["a", "b"]),
    ]


def test_what_the_policy_leaves_out_is_told_with_the_reason() -> None:
    chosen = Selection.parse({"exclude": {"names": ["w*"]}})
    plan = draw([container()], {IMAGE: tag()}, {HOST: replace(POLICIES[HOST], selection=chosen)})
    assert plan.containers == 0
    assert plan.left_out[0].reason == "cannot update web: its policy excludes it by name"


def test_containers_on_a_circle_of_labels_are_left_out_by_name_and_nobody_else() -> None:
    labels = {"a": "b", "b": "a", "c": "a"}
    rows = [container(id=n * 64, name=n, labels={"fleet.depends-on": on}) for n, on in labels.items()]
    plan = draw(rows, {IMAGE: tag()}, POLICIES)
    assert [each.container for each in plan.hosts[0].containers] == ["c"]
    assert [each.container for each in plan.left_out] == ["a", "b"]
    assert plan.left_out[0].reason == "cannot update a: its needs go in a circle: a -> b -> a"


@pytest.mark.parametrize(
    ("written", "reason"),
    [("48h", "is younger than its policy or label"), ("1h", ""), ("0", ""), ("soon", "cooldown-delay is no duration")],
)
def test_the_label_cooldown_delay_wins_over_the_policy(written: str, reason: str) -> None:
    seen = replace(tag(), first_seen_at=NOON)
    row = container(labels={"com.centurylinklabs.watchtower.cooldown-delay": written})
    policy = replace(POLICIES[HOST], resolve=ResolvePolicy(min_age_ms=86_400_000))
    plan = draw([row], {IMAGE: seen}, {HOST: policy}, now=NOON + timedelta(hours=2))
    assert plan.containers == (0 if reason else 1)
    assert not reason or reason in plan.left_out[0].reason
