"""Specs, selectors, plans and policies are read from documents and written back the same."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.rollouts.plan import LeftOut, PlanDocument, PlannedContainer, PlannedHost, PlannedHosts
from fleet.rollouts.policy import check_policy, merged, read_policy
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import OfflineSpec, RolloutSpec, TrySpec

TEXT = st.text("abc-*.", min_size=1, max_size=5)


def _plan(hosts: int = 3) -> PlanDocument:
    container = PlannedContainer(
        container_id="c", container="web", image_id="i", reference="nginx", image="docker.io/library/nginx:latest",
        digest="sha256:1",
    )  # fmt: skip
    planned = tuple(
        PlannedHost(host_id=UUID(int=n), host=f"web-{n}", policy="p", containers=(container,)) for n in range(hosts)
    )
    left = (LeftOut(host="web-9", container="db", reason="pinned by digest"),)
    return PlanDocument(hosts=PlannedHosts.of(planned), left_out=left, warnings=("cannot tell",))


@given(st.lists(TEXT), st.dictionaries(TEXT, TEXT), st.lists(TEXT))
def test_a_selector_is_written_as_it_was_read(hosts: list[str], labels: dict[str, str], images: list[str]) -> None:
    selector = Selector(hosts=tuple(hosts), labels=labels, images=tuple(images))
    assert Selector.parse(selector.document()) == selector


def test_an_empty_selector_takes_everything() -> None:
    assert Selector().document() == {}
    assert Selector().takes_host("x", {})
    assert Selector().takes_container("x", "")


@pytest.mark.parametrize(
    ("images", "image", "takes"),
    [
        (("nginx",), "docker.io/library/nginx:1.27", True),
        (("nginx:1.27",), "docker.io/library/nginx:1.27", True),
        (("nginx:1.28",), "docker.io/library/nginx:1.27", False),
        (("ng*",), "docker.io/library/nginx:1.27", True),
        (("ghcr.io/org/*",), "ghcr.io/org/app:1", True),
        (("ghcr.io/org/*",), "ghcr.io/other/app:1", False),
        (("*",), "", False),
        (("redis", "nginx"), "docker.io/library/nginx:1", True),
    ],
)
def test_images_are_named_as_people_name_them(images: tuple[str, ...], image: str, takes: bool) -> None:
    assert Selector(images=images).takes_container("x", image) is takes


@pytest.mark.parametrize("document", [{"host": ["a"]}, {"hosts": 3}, {"labels": ["a"]}, 3, None])
def test_what_is_no_selector_is_refused(document: Any) -> None:
    with pytest.raises(BadInput, match="cannot use the selector"):
        Selector.parse(document)


@pytest.mark.parametrize("document", [{"max_parallel": 0}, {"waves": []}, {"nope": 1}, {"version": 3}, None])
def test_what_is_no_spec_is_refused(document: Any) -> None:
    with pytest.raises(BadInput, match="cannot use"):
        RolloutSpec.parse(document)


def test_a_spec_and_a_plan_are_written_as_they_were_read() -> None:
    assert RolloutSpec.parse(RolloutSpec(max_parallel=3).document()) == RolloutSpec(max_parallel=3)
    assert PlanDocument.parse(_plan().document()) == _plan()
    assert _plan().containers == 3
    with pytest.raises(BadInput, match="cannot use the plan"):
        PlanDocument.parse({"hosts": [{}]})


def test_a_spec_that_asks_for_nothing_new_is_written_as_an_earlier_release_reads_it() -> None:
    """One that still runs refuses a field that it does not know, and with it all that is due."""
    assert "min_healthy_ms" not in RolloutSpec().document()["tries"]
    assert "after_ms" not in RolloutSpec().document()["offline"]
    assert RolloutSpec(offline=OfflineSpec(after_ms=60_000)).document()["offline"]["after_ms"] == 60_000
    assert RolloutSpec(tries=TrySpec(min_healthy_ms=0)).document()["tries"]["min_healthy_ms"] == 0


def test_the_order_of_hosts_is_shuffled_and_the_same_for_the_same_seed() -> None:
    plan = _plan(50)
    seed = UUID(int=7)
    order = [host.host for host in plan.in_order(seed)]
    assert order == [host.host for host in PlanDocument.parse(plan.document()).in_order(seed)]
    assert sorted(order) == sorted(host.host for host in plan.hosts)
    assert order != [host.host for host in plan.hosts]
    assert order != [host.host for host in plan.in_order(UUID(int=8))]


def test_a_later_policy_sets_its_keys_and_replaces_lists_whole() -> None:
    first = {"mirrors": [1, 2], "verify": {"settle_ms": 1, "deadline_ms": 2}}
    second = {"mirrors": [3], "verify": {"deadline_ms": 9}}
    assert merged([first, second]) == {"mirrors": [3], "verify": {"settle_ms": 1, "deadline_ms": 9}}
    assert first == {"mirrors": [1, 2], "verify": {"settle_ms": 1, "deadline_ms": 2}}
    assert merged([]) == {}


def test_an_empty_policy_is_the_default_one() -> None:
    from fleet.updates.command import Policy

    assert read_policy({}, "policy") == Policy()


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"mirror": []}, "mirror: there is no such field here; did you mean mirrors?"),
        ({"verify": {"settle": 10}}, "verify.settle: there is no such field here; did you mean settle_ms?"),
        ({"verify": {"settle_ms": "10s"}}, "verify.settle_ms: give a whole number, without quotes"),
        ({"settle_ms": 10}, "settle_ms: there is no such field here; it belongs elsewhere, see docs/how-to/policy.md"),
        ({"order": "startfirst"}, "order: give 'stop-first' or 'start-first'"),
        (
            {"select": {"onlyenabled": True}},
            "select.onlyenabled: there is no such field here; did you mean only_enabled?",
        ),
        (
            {"select": {"include": {"image": []}}},
            "select.include.image: there is no such field here; did you mean images?",
        ),
        ({"resolve": {"minage": "3d"}}, "resolve.minage: there is no such field here; did you mean min_age?"),
        (
            {"windows": [{"start": "1:00", "for": 1}]},
            "windows.0.start: give a time of day from 00:00 to 23:59, such as 22:00",
        ),
    ],
)
def test_what_is_mistyped_in_a_policy_is_told_with_what_was_meant(document: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as wrong:
        read_policy(document, "the policy")
    assert str(wrong.value) == f"cannot use the policy: {told}"


def test_a_mirror_that_no_reference_can_name_is_refused_where_it_is_written() -> None:
    """What stands there from before is read on: a new release refuses no policy."""
    stray = {"mirrors": [{"for": "dockerhub", "url": "http://cache.lan"}]}
    assert read_policy(stray, "the policy").mirrors
    with pytest.raises(BadInput, match=r"^cannot use 'dockerhub' as for in mirror 1 of the policy: .* docker.io for"):
        check_policy(stray, "the policy")
    for named in ("*", "docker.io", "ghcr.io", "localhost:5000", "localhost", "registry-1.docker.io"):
        check_policy({"mirrors": [{"for": named, "url": "http://cache.lan"}]}, "the policy")
