"""Logins and proxies that policies name and machines hold: each goes where it belongs, and nowhere else."""

import base64
import json
import logging
import traceback
from pathlib import Path

import pytest

from fleet.errors import AuthNeeded, BadInput
from fleet.registry import named
from fleet.registry.address import Address
from fleet.registry.credentials import Credentials, NoCredentials
from fleet.registry.faults import ExchangeFailed, Failure
from fleet.registry.proxies import Proxies
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access, Gatekeeper
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import Known, address_of, blob, resolving, with_client

SECRET = "correct-horse-battery"
FAR = "mirror.nowhere.test"
"""A mirror that only a proxy can find."""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the machine's folders be below the test's own."""
    monkeypatch.setattr(named, "LOGINS", tmp_path / "logins")
    monkeypatch.setattr(named, "PROXIES", tmp_path / "proxies")
    (tmp_path / "proxies").mkdir()
    return tmp_path


def log_in(machine: Path, login: str, host: str, password: str) -> None:
    """Write what ``docker --config FOLDER login HOST`` writes."""
    folder = machine / "logins" / login
    folder.mkdir(parents=True)
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def closed(password: str) -> Access:
    """Let in the robot with this password alone."""
    return Access(scheme="basic", username="robot", password=password)


def test_a_login_is_found_by_its_name(machine: Path) -> None:
    """And not the one that the machine's Docker configuration has for the same host."""
    with ScriptedRegistry(access=closed(SECRET)) as registry:
        digest = registry.shelf.add_image("org/app", "1")
        log_in(machine, "build", registry.host, SECRET)
        usual = Known({registry.host: Credentials(username="robot", password="another")})
        address = address_of(registry, auth="build")
        assert with_client(address, resolving("org/app:1"), credentials=usual).digest == digest


def test_a_login_is_shown_to_the_host_alone_that_it_was_made_for(machine: Path) -> None:
    """Whoever may write a policy cannot have it sent to a server of their own."""
    with ScriptedRegistry(access=closed(SECRET)) as registry:
        registry.shelf.add_image("org/app", "1")
        log_in(machine, "build", "harbor.lan", SECRET)
        with pytest.raises(AuthNeeded, match=r"docker --config .*/logins/build login 127\.0\.0\.1"):
            with_client(address_of(registry, auth="build"), resolving("org/app:1"))
        assert not any("authorization" in entry.headers for entry in registry.log)


def test_none_is_nobody_although_the_machine_has_a_login(machine: Path) -> None:
    with ScriptedRegistry(access=closed(SECRET)) as registry:
        registry.shelf.add_image("org/app", "1")
        usual = Known({registry.host: Credentials(username="robot", password=SECRET)})
        with pytest.raises(AuthNeeded, match='its policy says auth = "none"'):
            with_client(address_of(registry, auth="none"), resolving("org/app:1"), credentials=usual)
        assert not any("authorization" in entry.headers for entry in registry.log)


def test_a_login_that_is_not_there_yet_is_asked_for_and_found_once_it_is(machine: Path) -> None:
    with ScriptedRegistry(access=closed(SECRET)) as registry:
        digest = registry.shelf.add_image("org/app", "1")
        address = address_of(registry, auth="build")
        with pytest.raises(AuthNeeded, match="logins/build login"):
            with_client(address, resolving("org/app:1"))
        log_in(machine, "build", registry.host, SECRET)
        assert with_client(address, resolving("org/app:1")).digest == digest


@pytest.mark.parametrize("by", ["url", "file", "environment"])
def test_a_proxy_is_taken_for_its_own_endpoint(
    by: str, machine: Path, monkeypatch: pytest.MonkeyPatch, registry: ScriptedRegistry, other: ScriptedRegistry
) -> None:
    """Before the environment's, and with its user and password, which the machine alone knows."""
    digest = registry.shelf.add_image("org/app", "1")
    url = registry.url.replace("://", f"://robot:{SECRET}@")
    if by == "file":
        (machine / "proxies" / "site-1").write_text(f"{url}\n")
    elif by == "environment":
        (machine / "proxies" / "site-1").write_text(other.url)
        monkeypatch.setenv("FLEET_PROXY_SITE_1", url)
    address = Address(scheme="http", host=FAR, proxy=registry.url if by == "url" else "site-1")
    usual = Proxies(http=other.url, no_proxy=FAR)
    assert with_client(address, resolving("org/app:1"), proxies=usual).digest == digest
    (entry,) = registry.log
    assert entry.headers["host"] == FAR
    shown = base64.b64decode(entry.headers.get("proxy-authorization", "").removeprefix("Basic ")).decode()
    assert shown == ("" if by == "url" else f"robot:{SECRET}")
    assert other.log == []


def test_a_proxy_of_one_endpoint_is_none_for_where_it_sends(
    registry: ScriptedRegistry, other: ScriptedRegistry
) -> None:
    """A redirect to another host goes by the environment's proxy, or straight."""
    layer = b"layer" * 100
    registry.shelf.add_image("org/app", "1", layers=[layer])
    other.shelf.add_image("org/app", "1", layers=[layer])
    digest = other.shelf.add_blob("org/app", layer)
    registry.faults.add(Fault.REDIRECT, kind="blobs", location="http://store.nowhere.test")
    address = Address(scheme="http", host=FAR, proxy=registry.url)
    assert with_client(address, blob("org/app", digest), proxies=Proxies(http=other.url)) == layer
    assert [entry.headers["host"] for entry in registry.log] == [FAR]
    assert [entry.headers["host"] for entry in other.log] == ["store.nowhere.test"]


def test_none_is_no_proxy(registry: ScriptedRegistry, other: ScriptedRegistry) -> None:
    """Of a server that the environment's would be asked for: loopback in a spelling that is not recognised as such."""
    digest = registry.shelf.add_image("org/app", "1")
    address = Address(scheme="http", host=f"127.1:{registry.port}", proxy="none")
    assert with_client(address, resolving("org/app:1"), proxies=Proxies(http=other.url)).digest == digest
    assert other.log == []


@pytest.mark.parametrize("told", ["", "proxy.lan:3128", f"socks5://robot:{SECRET}@h:1", f"robot:{SECRET}", "http://"])
def test_a_proxy_that_the_machine_has_not_is_a_failed_connection_in_words(
    told: str, machine: Path, registry: ScriptedRegistry
) -> None:
    """Nobody is asked by another way instead, and what the file holds is not repeated."""
    if told:
        (machine / "proxies" / "site").write_text(told)
    with pytest.raises(ExchangeFailed, match=r"cannot (find|use) the proxy site.* FLEET_PROXY_SITE") as caught:
        with_client(address_of(registry, proxy="site"), resolving("org/app:1"))
    assert caught.value.failure is Failure.NO_CONNECTION
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert registry.log == []


def test_whatever_fails_behind_a_proxy_says_which_and_no_secret(
    machine: Path, registry: ScriptedRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that denies, with a password of its own."""
    registry.faults.add(Fault.STATUS, status=407)
    (machine / "proxies" / "site").write_text(registry.url.replace("://", f"://robot:{SECRET}@"))
    address = Address(scheme="https", host=FAR, proxy="site")
    with caplog.at_level(logging.DEBUG), pytest.raises(ExchangeFailed, match=r"by the proxy site: ") as caught:
        with_client(address, resolving("org/app:1"))
    said = "".join(traceback.format_exception(caught.value)) + " ".join(str(vars(r)) for r in caplog.records)
    for secret in (SECRET, base64.b64encode(f"robot:{SECRET}".encode()).decode()):
        assert secret not in said


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("http://proxy.lan:3128", True),
        ("https://[::1]:1/", True),
        ("http://u:p@proxy.lan", True),
        ("http://proxy.lan:0", False),
        ("http://proxy.lan:99999", False),
        ("http://proxy.lan/path", False),
        ("http://proxy.lan?x=1", False),
        ("http://pro xy.lan", False),
        ("http://proxy.lan\x00", False),
        ("socks5://proxy.lan", False),
        ("proxy.lan:3128", False),
    ],
)
def test_what_is_a_proxy(text: str, usable: bool) -> None:
    assert named.is_proxy_url(text) is usable


@pytest.mark.parametrize("text", ["a", "hub", "lan-proxy-2", "x" * 32])
def test_what_is_a_name(text: str) -> None:
    assert named.is_name(text)


@pytest.mark.parametrize("text", ["../../etc", "a/b", "", "A", "ghp_0123", "x" * 33, "1a", "a.b", "a\n"])
def test_what_is_no_name(text: str) -> None:
    """A name never leads out of its folder, and what tokens look like is none."""
    assert not named.is_name(text)


def test_an_unknown_proxy_names_where_to_write_it(machine: Path) -> None:
    with pytest.raises(BadInput, match=rf"into {machine}/proxies/lan or into FLEET_PROXY_LAN"):
        named.proxy_url("lan")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("auth", ["", "build"])
def test_a_proxy_that_only_the_policy_knows_never_sees_a_login(scheme: str, auth: str, machine: Path) -> None:
    """Whoever may write a policy could name a proxy of their own, and let the mirror's certificate go unchecked."""
    log_in(machine, "build", FAR, SECRET)
    usual = Known({FAR: Credentials(username="robot", password=SECRET)})
    with ScriptedRegistry(access=closed(SECRET)) as proxy:
        proxy.shelf.add_image("org/app", "1")
        address = Address(scheme=scheme, host=FAR, proxy=proxy.url, auth=auth, insecure=scheme == "https")
        assert named.overheard(address)
        assert isinstance(named.credentials_of(address, usual), NoCredentials)
        if scheme == "http":
            with pytest.raises(AuthNeeded, match="could read it"):
                with_client(address, resolving("org/app:1"), credentials=usual)
            assert proxy.log
        assert not any("authorization" in entry.headers for entry in proxy.log)


def test_a_proxy_that_the_machine_knows_passes_a_login_on(machine: Path, registry: ScriptedRegistry) -> None:
    registry.gatekeeper = Gatekeeper(closed(SECRET))
    digest = registry.shelf.add_image("org/app", "1")
    (machine / "proxies" / "site").write_text(registry.url)
    usual = Known({FAR: Credentials(username="robot", password=SECRET)})
    address = Address(scheme="http", host=FAR, proxy="site", insecure=True)
    assert with_client(address, resolving("org/app:1"), credentials=usual).digest == digest


@pytest.mark.parametrize("auth", ["", "build"])
@pytest.mark.parametrize("said", [False, True])
def test_a_login_goes_over_plain_http_to_another_machine_only_where_that_was_said(
    said: bool, auth: str, machine: Path
) -> None:
    """It may have been made for the same server's https, and whoever may write a policy need not have been told of it."""
    with ScriptedRegistry(access=closed(SECRET)) as registry:
        digest = registry.shelf.add_image("org/app", "1")
        host = f"127.1:{registry.port}"  # this machine, in a spelling that is not recognised as such
        log_in(machine, "build", host, SECRET)
        usual = Known({host: Credentials(username="robot", password=SECRET)})
        address = Address(scheme="http", host=host, auth=auth, insecure=said)
        if said:
            assert with_client(address, resolving("org/app:1"), credentials=usual).digest == digest
            return
        with pytest.raises(AuthNeeded, match=r"not shown in plain http; use https, or say insecure = true"):
            with_client(address, resolving("org/app:1"), credentials=usual)
        assert not any("authorization" in entry.headers for entry in registry.log)
