"""A host's own mirrors are read from all places, and what is wrong there is told in words."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.mirrors.daemon import read_daemon_file
from fleet.mirrors.fleet_file import read_fleet_file
from fleet.mirrors.source import Provenance
from fleet.mirrors.sources import DAEMON_FILES, read_host_mirrors

FILES = json.loads((Path(__file__).parent / "daemon_files.json").read_text())["files"]


@dataclass(frozen=True)
class Facts:
    """What an engine tells."""

    version: str = "26.1.5"
    containerd_store: bool = False
    mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ("127.0.0.0/8", "::1/128")


@pytest.mark.parametrize("case", FILES, ids=lambda case: case["case"])
def test_daemon_json(case: dict[str, Any]) -> None:
    found = read_daemon_file(case["content"].encode(case.get("encoding", "utf-8")), "daemon.json")
    assert [str(rule.endpoint) for rule in found.rules] == case["mirrors"]
    assert list(found.insecure) == case["insecure"]
    assert [problem.partition(":")[0] for problem in found.problems] == case["problems"]
    assert all(": cannot" in problem for problem in found.problems)
    assert [str(r.endpoint) for r in found.rules if r.endpoint.insecure] == case.get("unchecked", [])


def test_the_three_places_of_daemon_json() -> None:
    assert [str(path) for path in DAEMON_FILES] == [
        "/etc/docker/daemon.json",
        "~/.config/docker/daemon.json",
        "C:\\ProgramData\\docker\\config\\daemon.json",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        ["https://m.lan"],
        "https://m.lan",
        {"mirrors": ["https://m.lan"]},
        {"mirror": "https://m.lan"},
        {"mirror": ["https://m.lan"]},
        {"url": "https://m.lan"},
        [{"url": "https://m.lan"}],
    ],
)
def test_fleets_file_takes_a_registrys_mirrors_in_every_natural_form(entry: object) -> None:
    found = read_fleet_file(json.dumps({"registries": {"ghcr.io": entry}}).encode(), "mirrors.json")
    assert [(r.for_registry, str(r.endpoint)) for r in found.rules] == [("ghcr.io", "https://m.lan")]
    assert found.problems == ()


def test_the_examples_of_watchtowers_page_mean_what_it_says() -> None:
    page = {
        "registry-mirrors": ["https://primary-mirror.company.com", "https://backup-mirror.company.com"],
        "registries": {
            "docker.io": ["https://docker-hub-mirror.company.com"],
            "ghcr.io": ["https://ghcr-mirror.company.com"],
            "registry.internal.company.com": ["https://harbor.internal.company.com"],
        },
        "insecure-registries": ["harbor.internal.company.com"],
    }
    found = read_fleet_file(json.dumps(page).encode(), "mirrors.json")
    assert [(r.for_registry, r.endpoint.host, r.endpoint.insecure) for r in found.rules] == [
        ("docker.io", "docker-hub-mirror.company.com", False),
        ("ghcr.io", "ghcr-mirror.company.com", False),
        ("registry.internal.company.com", "harbor.internal.company.com", True),
        ("*", "primary-mirror.company.com", False),
        ("*", "backup-mirror.company.com", False),
    ]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "fleet-file-broken"),
        ('{"mirrors": []}', "fleet-file-broken"),
        ('{"registries": ["x"]}', "fleet-file-broken"),
        ('{"registry-mirrors": 7}', "fleet-file-broken"),
        ('{"registry-mirrors": ["m.lan"]}', "mirror-unusable"),
        ('{"registries": {"ghcr.io": [{"url": "http://a", "shape": "x"}]}}', "mirror-unusable"),
    ],
)
def test_a_slip_in_fleets_file_is_told_and_not_raised(content: str, code: str) -> None:
    found = read_fleet_file(content.encode(), "mirrors.json")
    assert [problem.partition(":")[0] for problem in found.problems] == [code]
    assert all(": cannot" in problem for problem in found.problems)


def hosts(tmp_path: Path, facts: Facts | None, daemon: object = None, fleet: object = None) -> Any:
    """Read a host whose files hold *daemon* and *fleet*."""
    for name, content in (("daemon.json", daemon), ("mirrors.json", fleet)):
        if content is not None:
            (tmp_path / name).write_text(json.dumps(content))
    return read_host_mirrors(
        facts, daemon_files=[tmp_path / "daemon.json", tmp_path / "none.json"], fleet_file=tmp_path / "mirrors.json"
    )


def codes(found: Any) -> list[str]:
    """Return the codes of the problems."""
    return [problem.partition(":")[0] for problem in found.problems]


def test_fleets_file_goes_before_the_daemons_and_the_daemons_before_what_it_reports(tmp_path: Path) -> None:
    found = hosts(
        tmp_path,
        Facts(mirrors=("https://d.lan/", "https://flag.lan/")),
        daemon={"registry-mirrors": ["https://d.lan"]},
        fleet={"registry-mirrors": ["https://f.lan"]},
    )
    assert [(r.endpoint.host, r.provenance) for r in found.rules] == [
        ("f.lan", Provenance.FLEET_FILE),
        ("d.lan", Provenance.DAEMON_FILE),
        ("flag.lan", Provenance.DAEMON),
    ]


def test_without_files_and_engine_there_are_none(tmp_path: Path) -> None:
    found = hosts(tmp_path, None)
    assert (found.rules, found.insecure, found.problems) == ((), (), ())


def test_a_file_that_the_daemon_has_not_read_yet_is_told(tmp_path: Path) -> None:
    found = hosts(tmp_path, Facts(), daemon={"registry-mirrors": ["https://d.lan"], "insecure-registries": ["x.lan"]})
    assert codes(found) == ["daemon-mirrors-pending", "daemon-insecure-pending"]
    assert "reload or restart" in found.problems[0]


def test_a_file_that_the_daemon_has_read_is_well(tmp_path: Path) -> None:
    found = hosts(
        tmp_path,
        Facts(mirrors=("https://d.lan/",), insecure_registries=("10.0.0.0/8", "127.0.0.0/8")),
        daemon={"registry-mirrors": ["https://d.lan"], "insecure-registries": ["10.0.0.0/8"]},
    )
    assert codes(found) == []
    assert found.insecure == ("10.0.0.0/8",)


def test_an_emptied_list_is_pending_too(tmp_path: Path) -> None:
    found = hosts(tmp_path, Facts(mirrors=("https://d.lan/",)), daemon={"registry-mirrors": []})
    assert codes(found) == ["daemon-mirrors-pending"]


def test_mirrors_by_flag_are_no_difference(tmp_path: Path) -> None:
    found = hosts(tmp_path, Facts(mirrors=("https://d.lan/",)), daemon={"debug": True})
    assert codes(found) == []
    assert [rule.where for rule in found.rules] == ["docker info"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (Facts(version="28.5.2", containerd_store=True, mirrors=("http://127.0.0.1:5000/",)), True),
        (
            Facts(version="29.1.0", containerd_store=True, mirrors=("https://m.lan/",), insecure_registries=("m.lan",)),
            True,
        ),
        (Facts(version="28.5.2", containerd_store=True, mirrors=("https://m.lan/",)), False),
        (Facts(version="28.5.2", containerd_store=False, mirrors=("http://127.0.0.1:5000/",)), False),
        (Facts(version="26.1.5", containerd_store=True, mirrors=("http://127.0.0.1:5000/",)), False),
    ],
)
def test_a_mirror_that_makes_the_daemon_trust_docker_hub_blindly_is_told(
    tmp_path: Path, facts: Facts, told: bool
) -> None:
    assert ("daemon-hub-unchecked" in codes(hosts(tmp_path, facts))) is told


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").mkdir()
    (tmp_path / "mirrors.json").mkdir()
    assert codes(hosts(tmp_path, None)) == ["fleet-file-unreadable", "daemon-json-unreadable"]


@pytest.mark.parametrize(
    ("version", "store", "insecure", "told"),
    [
        ("26.1.5", True, (), True),
        ("26.1.5", True, ("m.lan:5000",), False),
        ("26.1.5", False, (), False),
        ("28.5.2", True, (), False),
    ],
)
def test_a_plain_mirror_that_engine_26_asks_over_tls_is_told(
    tmp_path: Path, version: str, store: bool, insecure: tuple[str, ...], told: bool
) -> None:
    facts = Facts(
        version=version, containerd_store=store, mirrors=("http://m.lan:5000/",), insecure_registries=insecure
    )
    assert ("daemon-mirror-over-tls" in codes(hosts(tmp_path, facts))) is told
