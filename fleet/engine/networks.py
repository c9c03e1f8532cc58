"""Networks of a container that is created again: all, with what the user set, without what the engine gave. Pure."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from fleet.engine.protocol import Inspect

Endpoint = dict[str, Any]
Connections = tuple[dict[str, Endpoint], tuple[tuple[str, Mapping[str, Any]], ...]]

ALL_AT_ONCE = (1, 44)
"""The first API version whose create takes more than one network, and a MAC address for each."""
GATEWAY_PRIORITY = (1, 48)
"""The first API version that knows GwPriority."""
_ALONE = ("host", "none")
_SHORT_ID = 12


def connections(old: Inspect, config: dict[str, Any], host: dict[str, Any], api_version: str) -> Connections:
    """Return the endpoints for create, and those to be connected after it, in the order of their names.

    *config* and *host*, of the container to be, are corrected: the MAC address goes to where the API version wants it,
    and the network mode names a network that the container is really in.
    """
    networks = (old.get("NetworkSettings") or {}).get("Networks") or {}
    mac = str(config.pop("MacAddress", "") or "")
    if is_alone(old) or not networks:
        return {}, ()
    version = version_of(api_version)
    primary = _primary(_mode(host), networks)
    if primary is None:
        primary = min(networks)
        host["NetworkMode"] = primary
    endpoints = {name: _endpoint(old, networks[name], version, primary=name == primary) for name in sorted(networks)}
    _place_mac(mac, config, endpoints[primary], version)
    if version >= ALL_AT_ONCE:
        # Where any endpoint is given, the engine joins no network but those that are given.
        return (endpoints if len(endpoints) > 1 or endpoints[primary] else {}), ()
    first = {primary: endpoints[primary]} if endpoints[primary] else {}
    return first, tuple((name, endpoint) for name, endpoint in endpoints.items() if name != primary)


def is_alone(inspect: Inspect) -> bool:
    """Tell whether a container has no network of its own."""
    mode = _mode(inspect["HostConfig"])
    return mode in _ALONE or mode.startswith("container:")


def _mode(host: Mapping[str, Any]) -> str:
    return str(host.get("NetworkMode") or "default")


def version_of(api_version: str) -> tuple[int, int]:
    """Return an API version so that it compares."""
    major, _, minor = api_version.partition(".")
    return int(major), int(minor)


def _primary(mode: str, networks: Mapping[str, Any]) -> str | None:
    """Return the network that the mode names, by name or id; None where the container has left it since."""
    wanted = "bridge" if mode == "default" else mode
    for name, network in networks.items():
        if wanted in (name, network.get("NetworkID")):
            return str(name)
    return None


def _endpoint(old: Inspect, network: Mapping[str, Any], version: tuple[int, int], *, primary: bool) -> Endpoint:
    own_id = old["Id"]
    endpoint = {
        "IPAMConfig": {key: value for key, value in (network.get("IPAMConfig") or {}).items() if value},
        "Links": list(network.get("Links") or ()),
        "Aliases": [alias for alias in network.get("Aliases") or () if alias not in (own_id, own_id[:_SHORT_ID])],
        "DriverOpts": dict(network.get("DriverOpts") or {}),
    }
    if version >= GATEWAY_PRIORITY and network.get("GwPriority"):
        endpoint["GwPriority"] = network["GwPriority"]
    if version >= ALL_AT_ONCE and not primary and _chosen_mac(network):
        endpoint["MacAddress"] = network["MacAddress"]
    return {key: value for key, value in endpoint.items() if value}


def _place_mac(mac: str, config: dict[str, Any], primary: Endpoint, version: tuple[int, int]) -> None:
    """Put the MAC address that the user chose where this API version reads it."""
    if not mac:
        return
    if version >= ALL_AT_ONCE:
        primary["MacAddress"] = mac
    else:
        config["MacAddress"] = mac


def _chosen_mac(network: Mapping[str, Any]) -> bool:
    """Tell whether the MAC address is the user's: neither derived from the IPv4 address nor of Docker's own range."""
    mac, address = str(network.get("MacAddress") or "").lower(), str(network.get("IPAddress") or "")
    if not mac:
        return False
    derived = "02:42:" + ":".join(f"{byte:02x}" for byte in IPv4Address(address).packed) if address else ""
    return mac != derived
