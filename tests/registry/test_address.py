"""Every known way to write a registry's URL is expressible, and loopback is known in all its spellings."""

import pytest

from fleet.registry.address import Address, Kind, host_name, ip_of, is_loopback, origin_address, origin_of


@pytest.mark.parametrize(
    ("address", "kind", "url"),
    [
        pytest.param(
            Address(scheme="https", host="registry-1.docker.io"),
            "manifests",
            "https://registry-1.docker.io/v2/library/nginx/manifests/1",
            id="origin",
        ),
        pytest.param(
            Address(scheme="https", host="art.lan", base_path="/artifactory/api/docker/hub"),
            "manifests",
            "https://art.lan/artifactory/api/docker/hub/v2/library/nginx/manifests/1",
            id="artifactory by path: before /v2",
        ),
        pytest.param(
            Address(scheme="https", host="harbor.lan:8443", repo_prefix="dockerhub/"),
            "blobs",
            "https://harbor.lan:8443/v2/dockerhub/library/nginx/blobs/1",
            id="harbor project: after /v2",
        ),
        pytest.param(
            Address(scheme="http", host="spegel.lan", ns="ghcr.io"),
            "manifests",
            "http://spegel.lan/v2/library/nginx/manifests/1?ns=ghcr.io",
            id="namespace by query, as containerd names it",
        ),
        pytest.param(
            Address(scheme="http", host="m.lan", base_path="/a", repo_prefix="b/c/", ns="reg.lan:5000"),
            "referrers",
            "http://m.lan/a/v2/b/c/library/nginx/referrers/1?ns=reg.lan%3A5000",
            id="all of it at once",
        ),
    ],
)
def test_every_shape_of_url(address: Address, kind: Kind, url: str) -> None:
    """The URL is built as that product wants it."""
    assert address.url("library/nginx", kind, "1") == url


def test_the_scope_names_the_repository_as_the_address_does() -> None:
    """A token for the origin's path would not open a prefixed mirror."""
    assert Address(scheme="https", host="h", repo_prefix="hub/").path_of("library/nginx") == "hub/library/nginx"


def test_ping_is_at_the_root_of_the_api() -> None:
    """The ping keeps path and namespace, and names no repository."""
    assert Address(scheme="http", host="m", base_path="/a", repo_prefix="b/", ns="ghcr.io").ping_url == (
        "http://m/a/v2/?ns=ghcr.io"
    )


def test_str_says_where_and_nothing_else() -> None:
    """People read where Fleet asks."""
    assert str(Address(scheme="https", host="h:1", base_path="/a", repo_prefix="b/")) == "https://h:1/a/b"


def test_docker_hub_answers_at_its_own_host() -> None:
    """References say docker.io, the registry is registry-1.docker.io."""
    assert origin_address("docker.io").host == "registry-1.docker.io"


@pytest.mark.parametrize("registry", ["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"])
def test_loopback_is_trusted_as_docker_trusts_it(registry: str) -> None:
    """TLS goes unchecked there and plain http is tried."""
    address = origin_address(registry)
    assert (address.scheme, address.insecure, address.http_fallback) == ("https", True, True)


@pytest.mark.parametrize(
    ("registry", "insecure", "trusting"),
    [
        ("reg.lan:5000", ["reg.lan:5000"], True),
        ("reg.lan", ["reg.lan:5000"], False),
        ("reg.lan:5000", ["reg.lan"], False),
        ("10.1.2.3:5000", ["10.0.0.0/8"], True),
        ("11.1.2.3:5000", ["10.0.0.0/8"], False),
        ("[fd00::1]:5000", ["fd00::/16"], True),
        ("reg.lan", ["10.0.0.0/8", "nonsense/99"], False),
        ("ghcr.io", [], False),
    ],
)
def test_insecure_registries_are_matched_exactly_or_by_network(
    registry: str, insecure: list[str], trusting: bool
) -> None:
    """A name counts with its port; a network counts for addresses only."""
    address = origin_address(registry, insecure=insecure)
    assert (address.insecure, address.http_fallback) == (trusting, trusting)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Reg.Lan/v2/", ("https", "reg.lan", 443)),
        ("http://reg.lan.:5000/", ("http", "reg.lan", 5000)),
        ("http://[::1]/x", ("http", "::1", 80)),
        ("https://user:pw@h/x", ("https", "h", 443)),
        ("http://h:99999/", ("", "", 0)),
        ("http://[::1/", ("", "", 0)),
    ],
)
def test_a_server_is_scheme_host_and_port(url: str, origin: tuple[str, str, int]) -> None:
    """Case, the trailing dot and the user do not make another server; nonsense is no server."""
    assert origin_of(url) == origin


def test_hosts_are_read_with_and_without_port() -> None:
    """The small readers agree on names, addresses and nonsense."""
    assert host_name("Reg.lan:5000") == "reg.lan"
    assert str(ip_of("[::1]:5000")) == "::1"
    assert ip_of("reg.lan") is None
    assert not is_loopback("localhost.evil.example")
    assert not is_loopback("126.0.0.1")
