"""A host's own mirrors are read from all places, and what is wrong there is told in words."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fleet.mirrors.daemon import read_daemon_file
from fleet.mirrors.daemon_flags import DaemonFlags
from fleet.mirrors.fleet_file import read_fleet_file
from fleet.mirrors.source import Provenance
from fleet.mirrors.sources import USUAL, Places, read_host_mirrors

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
    assert [str(path) for path in USUAL.daemon_files] == [
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


def hosts(
    tmp_path: Path,
    facts: Facts | None,
    daemon: object = None,
    fleet: object = None,
    flags: DaemonFlags | None = None,
    toml: dict[str, str] | None = None,
    conf: str | None = None,
) -> Any:
    """Read a host whose files hold *daemon*, *fleet*, *toml* by folder and *conf*."""
    for name, content in (("daemon.json", daemon), ("mirrors.json", fleet)):
        if content is not None:
            (tmp_path / name).write_text(json.dumps(content))
    for folder, text in (toml or {}).items():
        (tmp_path / "certs.d" / folder).mkdir(parents=True)
        (tmp_path / "certs.d" / folder / "hosts.toml").write_text(text)
    if conf is not None:
        (tmp_path / "registries.conf").write_text(conf)
    places = Places(
        fleet_file=tmp_path / "mirrors.json",
        daemon_files=(tmp_path / "daemon.json", tmp_path / "none.json"),
        certs_folders=(tmp_path / "certs.d", tmp_path / "none.d"),
        registries_confs=(tmp_path / "none.conf", tmp_path / "registries.conf"),
    )
    return read_host_mirrors(facts, places=places, find_flags=lambda: flags)


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


def test_each_place_keeps_its_rank_and_its_name(tmp_path: Path) -> None:
    found = hosts(
        tmp_path,
        Facts(version="29.1.0", containerd_store=True, mirrors=("https://d.lan/", "https://flag.lan/")),
        daemon={"debug": True},
        fleet={"registry-mirrors": ["https://f.lan"]},
        flags=DaemonFlags(mirrors=("https://flag.lan",), insecure=("flag.lan",)),
        toml={"_default": '[host."https://any.lan"]', "ghcr.io": '[host."https://g.lan"]'},
        conf='[[registry]]\nlocation = "quay.io"\n[[registry.mirror]]\nlocation = "p.lan"',
    )
    assert [(r.for_registry, r.endpoint.host, r.provenance) for r in found.rules] == [
        ("*", "f.lan", Provenance.FLEET_FILE),
        ("ghcr.io", "g.lan", Provenance.HOSTS_TOML),
        ("*", "any.lan", Provenance.HOSTS_TOML),
        ("*", "flag.lan", Provenance.DAEMON_FLAG),
        ("*", "d.lan", Provenance.DAEMON),
        ("quay.io", "p.lan", Provenance.REGISTRIES_CONF),
    ]
    assert found.rules[3].endpoint.insecure
    assert found.insecure == ("flag.lan",)
    assert codes(found) == []


def test_the_file_that_the_daemons_flags_name_is_read_instead(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"registry-mirrors": ["https://o.lan"]}')
    found = hosts(
        tmp_path, None, daemon={"registry-mirrors": ["https://d.lan"]}, flags=DaemonFlags(config_file=str(other))
    )
    assert [(r.endpoint.host, r.where) for r in found.rules] == [("o.lan", str(other))]


@pytest.mark.parametrize(
    ("key", "flags"),
    [
        ("registry-mirrors", DaemonFlags(mirrors=("https://a.lan",))),
        ("insecure-registries", DaemonFlags(insecure=("a.lan",))),
    ],
)
def test_a_daemon_that_would_not_start_again_for_its_flags_is_told(
    tmp_path: Path, key: str, flags: DaemonFlags
) -> None:
    facts = Facts(mirrors=tuple(f"{url}/" for url in flags.mirrors), insecure_registries=flags.insecure)
    assert "daemon-flag-and-file" in codes(hosts(tmp_path, facts, daemon={key: []}, flags=flags))
    assert codes(hosts(tmp_path / "..", facts, daemon={"debug": True}, flags=flags)) == []


@pytest.mark.parametrize(
    ("version", "store", "told"),
    [("28.0.1", True, None), ("26.1.5", True, "hosts-toml-unread"), ("29.1.0", False, "hosts-toml-unread")],
)
def test_a_daemon_that_does_not_read_hosts_toml_is_told(
    tmp_path: Path, version: str, store: bool, told: str | None
) -> None:
    found = hosts(tmp_path, Facts(version=version, containerd_store=store), toml={"a.lan": '[host."https://m.lan"]'})
    assert codes(found) == ([told] if told else [])
    assert [r.endpoint.host for r in found.rules] == ["m.lan"], "Fleet's own pulls use it all the same"


def test_a_word_that_an_older_containerd_does_not_know_is_told(tmp_path: Path) -> None:
    toml = {"a.lan": '[host."https://m.lan"]\ncapabilities = ["pull", "referrers"]'}
    assert codes(hosts(tmp_path, Facts(version="28.5.2", containerd_store=True), toml=toml)) == ["hosts-toml-broken"]


def test_the_registries_key_comes_with_what_to_write_instead(tmp_path: Path) -> None:
    page = {"ghcr.io": ["https://ghcr-mirror.company.com"]}
    found = hosts(tmp_path, None, daemon={"registries": page})
    assert codes(found) == ["daemon-registries-key"]
    translation = found.problems[0].partition("/etc/fleet/mirrors.json: ")[2]
    assert [r.endpoint.host for r in read_fleet_file(translation.encode(), "x").rules] == ["ghcr-mirror.company.com"]


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


def test_mirrors_that_were_taken_out_of_the_file_and_are_still_used_are_told(tmp_path: Path) -> None:
    facts = Facts(mirrors=("https://d.lan/",))
    found = hosts(tmp_path, facts, daemon={"debug": True}, flags=DaemonFlags())
    assert codes(found) == ["daemon-mirrors-pending"]
    assert "restart it" in found.problems[0]
    assert codes(hosts(tmp_path, facts, flags=DaemonFlags(mirrors=("https://d.lan",)))) == []


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
    (tmp_path / "certs.d" / "a.lan" / "hosts.toml").mkdir(parents=True)
    (tmp_path / "registries.conf").mkdir()
    assert codes(hosts(tmp_path, None)) == [
        "fleet-file-unreadable",
        "daemon-json-unreadable",
        "hosts-toml-unreadable",
        "registries-conf-unreadable",
    ]


def test_a_folder_that_nobody_may_look_into_is_told(tmp_path: Path) -> None:
    """Else its mirrors would vanish without a word."""
    (tmp_path / "certs.d").symlink_to(tmp_path / "certs.d")
    (told,) = hosts(tmp_path, None).problems
    assert told.startswith(f"hosts-toml-unreadable: cannot look into {tmp_path / 'certs.d'}: ")


def test_what_cannot_be_printed_is_no_mirror_and_no_word(tmp_path: Path) -> None:
    """Neither a message nor a database takes it."""
    (tmp_path / "mirrors.json").write_text('{"\\ud800": 1, "registry-mirrors": ["http://\\ud800.lan", "http://m.lan"]}')
    (tmp_path / "certs.d" / "a.lan").mkdir(parents=True)
    (tmp_path / "certs.d" / "a.lan" / "hosts.toml").write_text('[host."https://m.lan"]\nca = "ca\\u0000.pem"')
    found = hosts(tmp_path, None)
    assert [(r.endpoint.host, r.provenance) for r in found.rules] == [("m.lan", Provenance.FLEET_FILE)]
    assert codes(found) == ["fleet-file-broken", "mirror-unusable", "mirror-unusable"]
    assert all(problem.isprintable() for problem in found.problems)


def test_a_user_without_a_home_reads_what_is_not_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "mirrors.json").write_text('{"registry-mirrors": ["http://m.lan"]}')
    monkeypatch.setattr(Path, "expanduser", nowhere)
    found = read_host_mirrors(None, places=replace(Places(), fleet_file=tmp_path / "mirrors.json"))
    assert [r.endpoint.host for r in found.rules if r.provenance is Provenance.FLEET_FILE] == ["m.lan"]


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
