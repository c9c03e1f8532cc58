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
auth = "build"
proxy = "http://proxy.lan:3128"
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
    assert [(r.endpoint.auth, r.endpoint.proxy) for r in rules] == [("build", "http://proxy.lan:3128"), ("", "")]
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
        ({"url": "http://a", "for": "docker.io/library"}, "expected a registry such as ghcr.io, or"),
        ({"url": "http://a\x00.lan"}, "it names no host"),
        ({"url": "http://\ud800.lan"}, "it names no host"),
        ({"url": "http://a", "shape": "round"}, "plain, artifactory, harbor, ns"),
        ({"url": "http://a", "insecure": "yes"}, "expected true or false"),
        ({"url": "a.lan"}, "must begin with http"),
        ("http://a", "expected a table"),
        ({"url": "http://ann:hunter2@a"}, "log in on the hosts with docker login"),
        ({"url": "http://a", "auth": "ann:hunter2"}, "the name of a login that the hosts have"),
        ({"url": "http://a", "auth": "ghp_hunter2"}, "no password stands in a policy"),
        ({"url": "http://a", "auth": {"password": "hunter2"}}, "the name of a login that the hosts have"),
        ({"url": "http://a", "auth": ""}, "expected config, none"),
        ({"url": "http://a", "proxy": "http://ann:hunter2@p"}, "write the URL into /etc/fleet/proxies/NAME"),
        ({"url": "http://a", "proxy": "socks5://ann:hunter2@p"}, "expected http://host:port, none"),
        ({"url": "http://a", "proxy": "ann:hunter2@p:3128"}, "expected http://host:port, none"),
        ({"url": "http://a", "proxy": "../../hunter2"}, "expected http://host:port, none"),
        ({"url": "http://a", "proxy": 3128}, "expected http://host:port, none"),
        ({"url": "http://a?token=hunter2"}, "it has a query"),
    ],
)
def test_a_slip_is_named(entry: Any, named: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot") as error:
        parse_mirrors([entry])
    assert named in str(error.value)
    assert "hunter2" not in str(error.value), "what may be a secret is not repeated"


@pytest.mark.parametrize(
    ("entry", "auth", "proxy"),
    [
        ({}, "", ""),
        ({"auth": "config", "proxy": ""}, "", ""),
        ({"auth": "none", "proxy": "none"}, "none", "none"),
        ({"auth": "site-1", "proxy": "site-1"}, "site-1", "site-1"),
        ({"proxy": "https://p.lan:1/"}, "", "https://p.lan:1"),
    ],
)
def test_who_to_be_and_by_which_proxy(entry: dict[str, str], auth: str, proxy: str) -> None:
    (rule,) = rules = parse_mirrors([{"url": "http://a", **entry}])
    assert (rule.endpoint.auth, rule.endpoint.proxy) == (auth, proxy)
    assert parse_mirrors(write_mirrors(rules)) == rules


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^cannot read the mirrors"):
        parse_mirrors("http://a")


@pytest.mark.parametrize(
    "name", ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"]
)
def test_docker_hub_has_many_names(name: str) -> None:
    assert registry_key(name) == "docker.io"
