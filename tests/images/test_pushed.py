"""What the bodies of registries' webhooks are read for; each form is restated from its sender's own page, which it names."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet.images.pushed import MOST_NAMED, Pushed, Sender, heard

CASES = sorted(Path(__file__).with_name("pushed").glob("*.json"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_body_names_the_images_that_were_pushed_and_no_others(case: Path) -> None:
    told = json.loads(case.read_text())
    found = heard(told["body"])
    assert found is not None
    assert (found.sender, found.images) == (told["sender"], tuple(Pushed(**image) for image in told["images"]))


def test_every_sender_has_a_case() -> None:
    assert {json.loads(case.read_text())["sender"] for case in CASES} == set(Sender)


@pytest.mark.parametrize(
    "body", [None, 7, "x", [], {}, {"zen": "Keep it logically awesome.", "hook_id": 1}, {"events": {}}]
)
def test_a_body_of_nobodys_form_says_nothing(body: Any) -> None:
    """GitHub's ping among them."""
    assert heard(body) is None


def test_a_body_of_odd_parts_names_nothing_and_breaks_nothing() -> None:
    odd: list[Any] = [
        None,
        7,
        "",
        "\0",
        "a" * 5000,
        [],
        {},
        "../../etc:1",
        "host/%/x:1",
        "http://[x/a:1",
        "reg.lan/x:\ud800",
    ]
    for value in odd:
        for body in (
            {"events": [value, {"action": "push", "target": value}]},
            {"events": [{"action": "push", "target": {"repository": value, "tag": value, "url": value}, "request": value}]},
            {"type": "PUSH_ARTIFACT", "event_data": {"resources": value}},
            {"type": "PUSH_ARTIFACT", "event_data": {"resources": [value, {"resource_url": value}]}},
            {"push_data": {"tag": value}, "repository": {"repo_name": value}},
            {"registry_package": {"package_type": value, "package_version": value}},
            {"registry_package": {"package_type": "container", "package_version": {"package_url": value}}},
            {"action": "created", "package": {"type": "container", "owner": {"login": value}, **dict.fromkeys(("name", "version"), value)}},
            {"action": "created", "package": {"type": "container", "owner": {"login": "a"}, "name": "a", "version": "1", "html_url": value}},  # noqa: E501
            {"domain": value, "event_type": value, "data": value},
            {"domain": "docker", "event_type": "pushed", "data": {"image_name": value, "tag": value}},
            {"docker_url": value, "updated_tags": [value]},
            {"object_kind": "pipeline", "object_attributes": value, "project": {"path_with_namespace": value}},
            {"object_kind": "pipeline", "object_attributes": {"status": "success"}, "project": {"path_with_namespace": value}},
            {"image": value},
            {"images": [value]},
        ):  # fmt: skip
            found = heard(body)
            assert found is None or found.images == ()


def test_a_body_names_so_many_images_and_no_more() -> None:
    found = heard({"images": [f"reg.lan/app:{n}" for n in range(5000)]})
    assert found is not None
    assert len(found.images) == MOST_NAMED
