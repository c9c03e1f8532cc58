"""Whether the new container may run beside the old one for a while (``start-first``), or something is there but once. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fleet.engine.protocol import CreateSpec, Inspect
from fleet.engine.spec import SHORT_ID
from fleet.engine.volumes import writable
from fleet.errors import BadInput
from fleet.updates.command import UpdateOrder
from fleet.updates.labels import label

ORDER_LABEL = "update.order"
"""``fleet.update.order``: wins over the policy's ``order``."""
VOLUMES_LABEL = "update.volumes"
"""``fleet.update.volumes=shared``: two of this container may write to its volumes at the same time."""
SHARED = "shared"
MAC_LABEL, GENERATED = "update.mac", "generated"
"""``fleet.update.mac=generated``: nobody chose the MAC addresses of its further networks. Engines that generate them at random
do not tell, and so each is kept unless this is said."""
_NAMELESS = ("bridge", "host", "none")
"""Networks in which nobody is found by a name."""


def wanted_order(labels: Mapping[str, str], otherwise: UpdateOrder) -> UpdateOrder:
    """Return in which order a container with *labels* is updated; raise BadInput where its label cannot be read."""
    written = label(labels, ORDER_LABEL)
    try:
        return UpdateOrder(written) if written else otherwise
    except ValueError:
        known = " or ".join(UpdateOrder)
        raise BadInput(f"cannot read the label fleet.{ORDER_LABEL}: it takes {known}, not {written!r}") from None


def with_new_macs(old: Inspect, spec: CreateSpec) -> CreateSpec:
    """Return *spec* without the MAC addresses of further networks, where a label of *old* says that nobody chose them."""
    if label(old["Config"].get("Labels") or {}, MAC_LABEL) != GENERATED:
        return spec
    chosen = old["Config"].get("MacAddress")

    def freed(endpoint: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in endpoint.items() if key != "MacAddress" or value == chosen}

    networking = spec.body.get("NetworkingConfig") or {}
    endpoints = {name: freed(endpoint) for name, endpoint in (networking.get("EndpointsConfig") or {}).items()}
    changed = {"NetworkingConfig": {**networking, "EndpointsConfig": endpoints}} if endpoints else {}
    connect = tuple((name, freed(endpoint)) for name, endpoint in spec.connect)
    return replace(spec, body={**spec.body, **changed}, connect=connect)


def hindrance(old: Inspect, spec: CreateSpec) -> str:
    """Return why the container that *spec* makes cannot run beside *old*, or empty."""
    return next(_hindrances(old, spec), "")


def _hindrances(old: Inspect, spec: CreateSpec) -> Iterator[str]:
    host = spec.body["HostConfig"]
    mode = str(host.get("NetworkMode") or "")
    if mode == "host":
        yield "it uses the network of the host"
    if mode.startswith("container:"):
        yield "it lives in the network of another container"
    for port, rows in (host.get("PortBindings") or {}).items():
        for row in rows or ():
            if str(row.get("HostPort") or "0") != "0":
                yield f"it publishes {port} at the fixed port {row['HostPort']} of the host"
    yield from _fixed_in_networks(old, spec)
    if label(old["Config"].get("Labels") or {}, VOLUMES_LABEL) != SHARED:
        yield from _written_by_both(old)


def _fixed_in_networks(old: Inspect, spec: CreateSpec) -> Iterator[str]:
    if spec.body.get("MacAddress"):
        yield "its MAC address is fixed"
    given = (spec.body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    endpoints = {**given, **dict(spec.connect)}
    for network, endpoint in endpoints.items():
        wished: Mapping[str, Any] = endpoint.get("IPAMConfig") or {}
        if wished.get("IPv4Address") or wished.get("IPv6Address"):
            yield f"its address in the network {network} is fixed"
        if endpoint.get("MacAddress"):
            yield (
                f"its MAC address in the network {network} is fixed, or the engine does not tell whether it is; the label"
                f" fleet.{MAC_LABEL}={GENERATED} says that it is not"
            )
    own = {old["Id"][:SHORT_ID], old["Id"]}
    for network, endpoint in ((old.get("NetworkSettings") or {}).get("Networks") or {}).items():
        if network not in _NAMELESS and not set(endpoint.get("Aliases") or ()) - own:
            yield f"it is known in the network {network} by its own name alone; give it a network alias"


def _written_by_both(old: Inspect) -> Iterator[str]:
    for path in writable(old):
        yield f"both would write to {path}; the label fleet.{VOLUMES_LABEL}={SHARED} says that they may"
