"""A request takes the proxy that Docker's own programs would take."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import BadInput
from fleet.registry.address import Address
from fleet.registry.faults import ExchangeFailed
from fleet.registry.proxies import Proxies
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import address_of, resolving, with_client

CASES = json.loads(Path(__file__).with_name("no_proxy.json").read_bytes())


@pytest.mark.parametrize(("host", "proxied"), CASES["port_80"])
def test_no_proxy_by_gos_rules(host: str, proxied: bool) -> None:
    """Networks, ports, leading dots and wildcards mean what they mean to dockerd."""
    proxies = Proxies(http="http://proxy", no_proxy=CASES["no_proxy"])
    assert (proxies.for_url(f"http://{host}:80/v2/") is not None) is proxied


@pytest.mark.parametrize(("host", "_"), CASES["port_80"])
def test_a_star_is_everything(host: str, _: bool) -> None:
    """NO_PROXY=* is no proxy at all."""
    assert Proxies(http="http://proxy", no_proxy="*").for_url(f"http://{host}:80/") is None


@pytest.mark.parametrize("case", CASES["urls"], ids=lambda case: str(case)[:80])
def test_the_proxy_of_a_url(case: dict[str, Any]) -> None:
    """Each scheme has its own proxy, and a proxy without a scheme is one over http."""
    proxies = Proxies(http=case.get("http", ""), https=case.get("https", ""), no_proxy=case.get("no_proxy", ""))
    assert proxies.for_url(case["url"]) == case["proxy"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1", "socks5h://ann:hunter2@host:1", "SOCKS4A://host"])
def test_a_socks_proxy_is_refused_with_what_to_do(proxy: str) -> None:
    """Go's programs speak to the first, as their own cases have it."""
    with pytest.raises(BadInput, match=r"cannot use the proxy .* SOCKS, .*http://host:port.* NO_PROXY") as caught:
        Proxies(https=proxy).for_url("https://example.com/")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["foo://host", "http://", "http://:8080"])
def test_a_proxy_that_is_none_is_refused_in_words(proxy: str) -> None:
    """The setting is named, its value (which may hold a password) is not."""
    with pytest.raises(BadInput, match="cannot use the proxy in HTTP_PROXY or HTTPS_PROXY"):
        Proxies(http=proxy).for_url("http://example.com/")


def test_the_environment_is_read_capitals_first() -> None:
    """As Go reads it: HTTP_PROXY before http_proxy, and an empty one is none."""
    read = Proxies.from_environment
    assert read({"HTTP_PROXY": "a", "http_proxy": "b", "https_proxy": "c", "NO_PROXY": "d"}) == Proxies(
        http="a", https="c", no_proxy="d"
    )
    assert read({"HTTP_PROXY": "", "http_proxy": "b"}) == Proxies(http="b")
    assert read({}) == Proxies()


def test_a_request_really_goes_through_the_proxy(registry: ScriptedRegistry) -> None:
    """The scriptable registry stands where the proxy is, and is asked for a host that does not exist."""
    digest = registry.shelf.add_image("org/app", "1")
    address = Address(scheme="http", host="registry.nowhere.test")
    assert with_client(address, resolving("org/app:1"), proxies=Proxies(http=registry.url)).digest == digest
    (entry,) = registry.log
    assert entry.headers["host"] == "registry.nowhere.test"


def test_loopback_never_takes_a_proxy(registry: ScriptedRegistry, other: ScriptedRegistry) -> None:
    """The gateway and registries on this machine are asked straight."""
    registry.shelf.add_image("org/app", "1")
    with_client(address_of(registry), resolving("org/app:1"), proxies=Proxies(http=other.url))
    assert (len(registry.log), other.log) == (1, [])


def test_a_proxy_that_refuses_tls_is_a_failed_connection(registry: ScriptedRegistry) -> None:
    """CONNECT that is denied says that the registry was not reached."""
    registry.faults.add(Fault.STATUS, status=403)
    address = Address(scheme="https", host="registry.nowhere.test")
    with pytest.raises(ExchangeFailed, match=r"cannot reach https://registry\.nowhere\.test"):
        with_client(address, resolving("org/app:1"), proxies=Proxies(https=registry.url))


def test_a_proxys_password_is_never_shown(registry: ScriptedRegistry) -> None:
    """Neither in the value's repr nor in the error of a request that failed there."""
    with registry.down():
        proxies = Proxies(http=f"http://ann:secret-word@{registry.host}")
        assert "secret-word" not in repr(proxies)
        with pytest.raises(ExchangeFailed) as caught:
            with_client(Address(scheme="http", host="reg.nowhere.test"), resolving("org/app:1"), proxies=proxies)
    assert "secret-word" not in f"{caught.value!r} {caught.value}"
