"""A login that a hosts.toml gives is shown to its own mirror, over a real socket, and to nobody else."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from fleet.errors import AuthNeeded
from fleet.mirrors.hosts_credentials import HostsTomlCredentials, read_authorization
from fleet.registry.credentials import Credentials, NoCredentials
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import address_of, resolving, with_client

BASIC = "Basic " + base64.b64encode(b"robot:hunter2").decode()


def write(folder: Path, host: str, header: str, *, registry: str = "ghcr.io") -> None:
    """Let the hosts.toml of *registry* log in to *host*."""
    place = folder / registry
    place.mkdir(parents=True, exist_ok=True)
    (place / "hosts.toml").write_text(f'[host."http://{host}".header]\nauthorization = "{header}"')


def known(source: HostsTomlCredentials, host: str) -> Credentials | None:
    """Return what *source* shows to *host*."""
    return asyncio.run(source.for_host(host))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (BASIC, Credentials(username="robot", password="hunter2")),
        (BASIC.replace("Basic", "basic"), Credentials(username="robot", password="hunter2")),
        ("Bearer abc.def", Credentials(registry_token="abc.def")),
        ("Digest x", None),
        ("Basic !!!", None),
        ("Basic \u00e9", None),
        ("Basic cm9ib3Q=", None),
        ("", None),
    ],
)
def test_a_header_is_read_as_what_it_shows(header: str, found: Credentials | None) -> None:
    assert read_authorization(header) == found


def test_a_login_is_known_by_the_servers_own_host(tmp_path: Path) -> None:
    write(tmp_path, "m.lan:5000", BASIC)
    source = HostsTomlCredentials(NoCredentials(), folders=(tmp_path,))
    found = known(source, "M.lan:5000")
    assert found is not None
    assert (found.username, found.password) == ("robot", "hunter2")
    assert [known(source, host) for host in ("m.lan", "ghcr.io", "m.lan:5001", "docker.io")] == [None] * 4
    assert "hunter2" not in repr(found)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    source = HostsTomlCredentials(NoCredentials(), folders=(tmp_path,))
    assert known(source, "m.lan") is None
    write(tmp_path, "m.lan", BASIC)
    assert known(source, "m.lan") is not None
    write(tmp_path, "n.lan", BASIC)
    os.utime(tmp_path / "ghcr.io" / "hosts.toml", ns=(1, 1))
    assert known(source, "m.lan") is None
    assert known(source, "n.lan") is not None


def test_a_login_that_cannot_be_used_hides_no_other_for_the_same_host(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "m.lan", "Digest hunter2", registry="docker.io")
    write(tmp_path, "m.lan", BASIC, registry="ghcr.io")
    found = known(HostsTomlCredentials(NoCredentials(), folders=(tmp_path,)), "m.lan")
    assert found is not None and found.username == "robot"
    assert [record.message for record in caplog.records] == ["login of hosts.toml unusable"]
    assert "hunter2" not in caplog.text


class Others:
    """Knows a login for every host."""

    async def for_host(self, host: str) -> Credentials | None:
        """Return it."""
        return Credentials(username="other", password=host)


def test_another_source_is_asked_where_no_file_says_anything(tmp_path: Path) -> None:
    write(tmp_path, "m.lan", BASIC)
    source = HostsTomlCredentials(Others(), folders=(tmp_path,))
    assert [getattr(known(source, host), "username", "") for host in ("m.lan", "n.lan")] == ["robot", "other"]


def test_a_mirror_that_wants_a_login_gets_its_own_and_another_gets_none(tmp_path: Path) -> None:
    access = Access(scheme="basic", username="robot", password="hunter2")
    with ScriptedRegistry(access=access) as own, ScriptedRegistry(access=access) as other:
        for registry in (own, other):
            registry.shelf.add_image("org/app", "1", layers=[b"layer"])
        write(tmp_path, own.host, BASIC)
        source = HostsTomlCredentials(NoCredentials(), folders=(tmp_path,))
        with_client(address_of(own), resolving("ghcr.io/org/app:1"), credentials=source)
        with pytest.raises(AuthNeeded):
            with_client(address_of(other), resolving("ghcr.io/org/app:1"), credentials=source)
        assert own.log[-1].headers["authorization"] == BASIC
        assert not any("authorization" in request.headers for request in other.log)
