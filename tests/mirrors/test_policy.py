"""Fleet's policy says where its mirrors are, and a slip in it is named."""

import tomllib
from typing import Any

import pytest

from fleet.errors import BadInput
from fleet.mirrors.policy import parse_mirrors, registry_key, write_mirrors
from fleet.mirrors.source import Provenance

POLICY = """
[[mirrors]]
for = "docker.io"
url = "https://harbor.lan/hub"
shape = "harbor"
ca = "/etc/ssl/lab.pem"
resolve = true

[[mirrors]]
for = "*"
url = "http://cache.lan:5000"
insecure = true
"""


def test_a_policy_is_read_in_its_order() -> None:
    rules = parse_mirrors(tomllib.loads(POLICY))
    assert [(r.for_registry, str(r.endpoint), r.resolve) for r in rules] == [
        ("docker.io", "https://harbor.lan/hub", True),
        ("*", "http://cache.lan:5000", False),
    ]
    assert rules[0].endpoint.ca_file == "/etc/ssl/lab.pem"
    assert rules[1].endpoint.insecure
    assert {rule.provenance for rule in rules} == {Provenance.POLICY}


def test_a_written_policy_is_read_back() -> None:
    rules = parse_mirrors(tomllib.loads(POLICY))
    assert parse_mirrors(write_mirrors(rules)) == rules


@pytest.mark.parametrize("nothing", [None, [], {}, {"mirrors": []}])
def test_no_mirrors_are_no_rules(nothing: object) -> None:
    assert parse_mirrors(nothing) == ()


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"url": "http://a", "form": "x"}, "form"),
        ({"for": "docker.io"}, "expected a registry as for, and a URL as url"),
        ({"url": 7}, "expected a registry as for, and a URL as url"),
        ({"url": "http://a", "for": ""}, "expected a registry as for"),
        ({"url": "http://a", "for": "docker io"}, "expected a registry such as ghcr.io, or"),
        ({"url": "http://a", "for": "*.io"}, "expected a registry such as ghcr.io, or"),
        ({"url": "http://a", "shape": "round"}, "plain, artifactory, harbor, ns"),
        ({"url": "http://a", "insecure": "yes"}, "expected true or false"),
        ({"url": "a.lan"}, "must begin with http"),
        ("http://a", "expected a table"),
    ],
)
def test_a_slip_is_named(entry: Any, named: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot") as error:
        parse_mirrors([entry])
    assert named in str(error.value)


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^cannot read the mirrors"):
        parse_mirrors("http://a")


@pytest.mark.parametrize(
    "name", ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"]
)
def test_docker_hub_has_many_names(name: str) -> None:
    assert registry_key(name) == "docker.io"
