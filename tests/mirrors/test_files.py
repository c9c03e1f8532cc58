"""Files of other programs mean for Fleet what they mean for the programs that define them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.gateway.upstreams import mirror_address
from fleet.images.reference import Reference
from fleet.mirrors.daemon import read_daemon_file
from fleet.mirrors.hosts_toml import read_hosts_toml, registry_of
from fleet.mirrors.registries_conf import read_registries_conf
from fleet.mirrors.source import Provenance

HERE = Path(__file__).parent
HOSTS = json.loads((HERE / "hosts_files.json").read_text())
REGISTRIES = json.loads((HERE / "registries_files.json").read_text())["files"]
INSECURE = json.loads((HERE / "insecure_registries.json").read_text())
ACCEPTED = [pair for cases in INSECURE["accepted"].values() for pair in cases.items()]
REFUSED = [name for names in INSECURE["refused"].values() for name in names]
BY_CASE = {"daemon_files": ["files"], "hosts_files": ["files", "folders"], "registries_files": ["files"]} | {
    "mirror_shapes": ["shapes"],
    "mirror_urls": ["accepted"],
}
"""The files whose cases name where they are from one by one, and the lists in each."""
IMAGE = Reference.parse("registry.example/org/app:1")
WHERE = "/etc/docker/certs.d/registry.example/hosts.toml"


def codes(problems: tuple[str, ...]) -> list[str]:
    """Return the codes of *problems*."""
    return [problem.partition(":")[0] for problem in problems]


@pytest.mark.parametrize("case", HOSTS["files"], ids=lambda case: case["case"])
def test_hosts_toml(case: dict[str, Any]) -> None:
    found = read_hosts_toml(case["toml"].encode(), "registry.example", WHERE)
    asked = [mirror_address(rule.endpoint, IMAGE) for rule in found.rules]
    assert [address.url("NAME", "manifests", "1").partition("NAME")[0] for address in asked] == case["hosts"]
    assert all(address.ns == "registry.example" for address in asked)
    assert [rule.endpoint.host for rule in found.rules if rule.endpoint.insecure] == case.get("unchecked", [])
    assert [r.endpoint.ca_file for r in found.rules if r.endpoint.ca_file] == [
        name.replace("FOLDER", str(Path(WHERE).parent)) for name in case.get("ca", [])
    ]
    assert [[r.endpoint.client_cert, r.endpoint.client_key] for r in found.rules if r.endpoint.client_cert] == case.get(
        "client", []
    )
    if "resolve" in case:
        assert [rule.endpoint.host for rule in found.rules if rule.resolve] == case["resolve"]
    assert list(found.insecure) == case.get("insecure", [])
    assert found.knows_referrers is case.get("referrers", False)
    assert codes(found.problems) == case.get("problems", [])
    assert all(": cannot" in problem and "secret" not in problem for problem in found.problems)
    assert {(r.provenance, r.where, r.for_registry) for r in found.rules} <= {
        (Provenance.HOSTS_TOML, WHERE, "registry.example")
    }


@pytest.mark.parametrize("case", HOSTS["folders"], ids=lambda case: case["folder"])
def test_a_folder_of_certs_d_is_about_a_registry(case: dict[str, str]) -> None:
    assert registry_of(case["folder"]) == case["registry"]


def test_the_login_of_a_mirror_is_known_by_its_host_and_shown_nowhere() -> None:
    toml = '[host."https://m.lan:5000".header]\nAuthorization = "Basic c2VjcmV0OnNlY3JldA=="'
    found = read_hosts_toml(toml.encode(), "docker.io", WHERE)
    assert found.authorization == {"m.lan:5000": "Basic c2VjcmV0OnNlY3JldA=="}
    assert found.problems == ()
    assert "c2Vj" not in repr(found)


def test_a_file_for_every_registry_makes_global_mirrors() -> None:
    found = read_hosts_toml(b'server = "https://last.lan"\n[host."https://m.lan"]', "*", WHERE)
    assert [(r.for_registry, r.endpoint.host) for r in found.rules] == [("*", "m.lan"), ("*", "last.lan")]


@pytest.mark.parametrize("case", REGISTRIES, ids=lambda case: case["case"])
def test_registries_conf(case: dict[str, Any]) -> None:
    found = read_registries_conf([("registries.conf", case["conf"].encode())])
    assert [[rule.for_registry, str(rule.endpoint)] for rule in found.rules] == case["mirrors"]
    unchecked = [r.endpoint.host for r in found.rules if r.endpoint.insecure and r.endpoint.http_fallback]
    assert unchecked == case.get("unchecked", [])
    assert codes(found.problems) == case.get("problems", [])
    assert all(": cannot" in problem for problem in found.problems)
    assert not any(rule.resolve for rule in found.rules)


def test_a_later_file_replaces_what_an_earlier_one_says_of_the_same_registry() -> None:
    def file(mirror: str) -> bytes:
        return f'[[registry]]\nlocation = "a.com"\n[[registry.mirror]]\nlocation = "{mirror}"'.encode()

    found = read_registries_conf([("registries.conf", file("first.lan")), ("registries.conf.d/1.conf", file("m.lan"))])
    assert [(r.endpoint.host, r.where) for r in found.rules] == [("m.lan", "registries.conf.d/1.conf")]


@pytest.mark.parametrize(("name", "matched"), ACCEPTED)
def test_an_insecure_registry_is_named_as_the_daemon_matches_it(name: str, matched: str) -> None:
    found = read_daemon_file(json.dumps({"insecure-registries": [name]}).encode(), "daemon.json")
    assert list(found.insecure) == [matched]
    assert found.problems == ()


@pytest.mark.parametrize("name", REFUSED)
def test_what_keeps_the_daemon_from_starting_is_told(name: str) -> None:
    found = read_daemon_file(json.dumps({"insecure-registries": [name, "ok.lan"]}).encode(), "daemon.json")
    assert list(found.insecure) == ["ok.lan"]
    assert codes(found.problems) == ["daemon-insecure-unusable"]


@pytest.mark.parametrize("file", BY_CASE)
def test_each_case_says_where_it_is_from(file: str) -> None:
    """By the name of a test, a page, or what was measured; and ours are called ours."""
    document = json.loads((HERE / f"{file}.json").read_text())
    assert document["source"]
    assert [case for part in BY_CASE[file] for case in document[part] if not case.get("from")] == []


@given(st.text(max_size=200))
def test_any_text_is_a_file_or_a_problem(text: str) -> None:
    hosts = read_hosts_toml(text.encode(errors="replace"), "registry.example", WHERE)
    podman = read_registries_conf([("registries.conf", text.encode(errors="replace"))])
    assert all(": cannot" in problem for problem in (*hosts.problems, *podman.problems))
