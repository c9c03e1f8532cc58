"""The hosts.toml files that the agent writes say what the policy says, are its own alone, and go away again."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from fleet.mirrors.hosts_toml import read_hosts_toml
from fleet.mirrors.managed_hosts import MARKER, Door, ManagedHosts, hosts_toml, is_managed
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.sources import Places, hosts_files, read_host_mirrors
from fleet.mirrors.table import MirrorTable

DOOR = Door(host="127.0.0.1:5999", user="fleet", secret="hunter2")
TABLE = MirrorTable.of(
    parse_mirrors(
        [
            {"for": "docker.io", "url": "https://harbor.lan/dockerhub", "shape": "harbor", "ca": "/etc/ca.pem"},
            {"for": "docker.io", "url": "https://art.lan/artifactory/api/docker/hub", "shape": "artifactory"},
            {"url": "http://cache.lan:5000", "resolve": True},
            {"url": "https://blind.lan", "insecure": True},
        ]
    )
)


def file(folder: Path, name: str = "docker.io") -> Path:
    """Return where the file of a registry is."""
    return folder / name / "hosts.toml"


def test_what_is_written_is_read_back_as_the_policys_mirrors() -> None:
    found = read_hosts_toml(hosts_toml("docker.io", TABLE.mirrors_of("docker.io"), DOOR).encode(), "docker.io", "x")
    assert found.problems == ()
    assert [str(rule.endpoint) for rule in found.rules] == [
        "http://127.0.0.1:5999",
        "https://harbor.lan/dockerhub",
        "https://art.lan/artifactory/api/docker/hub",
        "http://cache.lan:5000",
        "https://blind.lan",
    ]
    assert [rule.resolve for rule in found.rules] == [False, False, False, True, False]
    assert [rule.endpoint.insecure for rule in found.rules] == [False, False, False, False, True]
    assert found.rules[1].endpoint.ca_file == "/etc/ca.pem"
    assert list(found.authorization) == ["127.0.0.1:5999"]


def test_the_gateways_secret_is_there_while_a_pull_is_and_for_its_owner_alone(tmp_path: Path) -> None:
    hosts = ManagedHosts(tmp_path)
    with hosts.open_door("docker.io", TABLE, DOOR):
        assert "authorization" in file(tmp_path).read_text()
        assert stat.S_IMODE(file(tmp_path).stat().st_mode) == 0o600
    left = file(tmp_path).read_text()
    assert left.startswith(MARKER)
    assert "authorization" not in left and "harbor.lan" in left
    assert "hunter2" not in repr(DOOR)


def test_a_registry_without_mirrors_keeps_no_file(tmp_path: Path) -> None:
    with ManagedHosts(tmp_path).open_door("quay.io", MirrorTable(), DOOR):
        assert is_managed(file(tmp_path, "quay.io"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["hosts.toml", "ca.crt", "client.cert"])
def test_a_folder_with_a_file_of_somebody_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "docker.io").mkdir()
    (tmp_path / "docker.io" / name).write_text("theirs")
    hosts = ManagedHosts(tmp_path)
    assert "not Fleet's" in hosts.refusal("docker.io", TABLE)
    assert hosts.refusal("ghcr.io", TABLE) == ""
    assert hosts.remove_all() == 0
    assert (tmp_path / "docker.io" / name).read_text() == "theirs"


def test_an_insecure_registry_is_left_alone(tmp_path: Path) -> None:
    hosts = ManagedHosts(tmp_path)
    table = MirrorTable.of(insecure=("reg.lan:5000",))
    assert "insecure" in hosts.refusal("reg.lan:5000", table)
    assert "insecure" in hosts.refusal("127.0.0.1:5000", MirrorTable())


def test_the_folder_that_containerd_reads_first_is_used(tmp_path: Path) -> None:
    hosts = ManagedHosts(tmp_path)
    with hosts.open_door("reg.lan:5000", TABLE, DOOR):
        assert file(tmp_path, "reg.lan_5000_").exists()
    hosts.remove_all()
    (tmp_path / "reg.lan:5000").mkdir()
    with hosts.open_door("reg.lan:5000", TABLE, DOOR):
        assert file(tmp_path, "reg.lan:5000").exists()


def test_all_of_ours_is_removed_and_nothing_else(tmp_path: Path) -> None:
    hosts = ManagedHosts(tmp_path)
    for registry in ("docker.io", "ghcr.io"):
        with hosts.open_door(registry, TABLE, DOOR):
            pass
    (tmp_path / "docker.io" / "note.txt").write_text("theirs, since")
    (tmp_path / "quay.io").mkdir()
    file(tmp_path, "quay.io").write_text("server = 'https://quay.io'")
    assert hosts.remove_all() == 2
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "docker.io/note.txt",
        "quay.io/hosts.toml",
    ]


def test_what_a_killed_agent_left_with_a_secret_is_swept_and_the_rest_stays(tmp_path: Path) -> None:
    hosts = ManagedHosts(tmp_path)
    with hosts.open_door("ghcr.io", TABLE, DOOR):
        pass
    door = hosts.open_door("docker.io", TABLE, DOOR)
    door.__enter__()
    assert hosts.sweep() == 1
    assert [path.parent.name for path in tmp_path.rglob("hosts.toml")] == ["ghcr.io"]


def test_what_a_killed_agent_had_not_put_in_its_place_is_swept_too(tmp_path: Path) -> None:
    """It has the secret in it, and keeps its folder."""
    (tmp_path / "docker.io").mkdir()
    (tmp_path / "docker.io" / ".fleet-abc").write_text("half of it")
    (tmp_path / "docker.io" / "hosts.toml").write_bytes(f"{MARKER}\n".encode() + b"authorization = '\xff'")
    assert ManagedHosts(tmp_path).sweep() == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("table", [TABLE, MirrorTable()])
def test_a_file_that_somebody_wrote_during_a_pull_is_left_alone(tmp_path: Path, table: MirrorTable) -> None:
    with ManagedHosts(tmp_path).open_door("docker.io", table, DOOR):
        file(tmp_path).write_text("theirs")
    assert file(tmp_path).read_text() == "theirs"


def test_where_somebody_put_a_certificate_during_a_pull_ours_goes(tmp_path: Path) -> None:
    with ManagedHosts(tmp_path).open_door("docker.io", TABLE, DOOR):
        (tmp_path / "docker.io" / "ca.crt").write_text("theirs")
    assert [path.name for path in (tmp_path / "docker.io").iterdir()] == ["ca.crt"]


@pytest.mark.parametrize("table", [TABLE, MirrorTable()])
def test_a_pull_that_ended_well_stays_so_where_the_file_cannot_be_written(
    tmp_path: Path, table: MirrorTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the gateway's secret does not stay where the file can be removed."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ManagedHosts(tmp_path).open_door("docker.io", table, DOOR):
        monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert not file(tmp_path).exists()


def test_the_gateway_is_kept_from_somebodys_default_for_all_registries(tmp_path: Path) -> None:
    """Only where there is such a default, for one port at a time, and never over a file of somebody else."""
    hosts, ours = ManagedHosts(tmp_path), file(tmp_path, "127.0.0.1_5999_")
    hosts.keep_loopback(DOOR.host)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "_default").mkdir()
    file(tmp_path, "_default").write_text("theirs")
    with hosts.open_door("docker.io", TABLE, DOOR):
        pass
    hosts.keep_loopback("127.0.0.1:4999")
    hosts.keep_loopback(DOOR.host)
    assert ours.read_text() == f'{MARKER}\nserver = "http://127.0.0.1:5999"\n'
    assert sorted(path.parent.name for path in tmp_path.rglob("hosts.toml")) == [
        "127.0.0.1_5999_",
        "_default",
        "docker.io",
    ]
    ours.write_text("theirs, since")
    hosts.keep_loopback(DOOR.host)
    assert hosts.remove_all() == 1  # Docker Hub's
    assert ours.read_text() == "theirs, since"


def test_what_was_written_is_not_read_back_as_a_mirror_of_the_host(tmp_path: Path) -> None:
    with ManagedHosts(tmp_path).open_door("docker.io", TABLE, DOOR):
        assert hosts_files((tmp_path,)) == []
        places = Places(fleet_file=tmp_path / "none", daemon_files=(), certs_folders=(tmp_path,), registries_confs=())
        assert read_host_mirrors(None, places=places).rules == ()
