"""The same container with a new image: from the old inspects to what create takes. Pure.

What the user set stays; what came from the old image goes, so that the new image's own defaults apply. The rules of
the image's defaults, of networks and of volumes have files of their own.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fleet.engine.defaults import without_image_defaults
from fleet.engine.networks import connections
from fleet.engine.protocol import CreateSpec, Inspect
from fleet.engine.volumes import carried_binds, lent, named_mounts, still_lends

SHORT_ID = 12
"""How many digits of its id Docker gives a container as hostname and alias."""
COMPOSE_IMAGE_LABEL = "com.docker.compose.image"
"""The image id by which Compose decides whether a service's image has changed."""
_SHARED = ("NetworkMode", "PidMode", "IpcMode")
"""The fields of HostConfig that may name another container."""

NO_PEERS: Mapping[str, Inspect] = {}


def new_spec(
    old: Inspect,
    old_image: Inspect,
    *,
    name: str,
    image: str,
    image_id: str,
    api_version: str,
    peers: Mapping[str, Inspect] = NO_PEERS,
    engine_name: str = "",
    platform: str = "",
) -> CreateSpec:
    """Return what creates *old* again under *name* from *image*, whose id is *image_id*.

    *old_image* is the inspect of the image that *old* was made from, empty where the engine has lost it: then nothing
    is known to be its default, and all stays. *peers* are the inspects of the containers that *old* refers to, by the
    id or name it uses.
    """
    config = without_image_defaults(old["Config"], old_image.get("Config") or {}, old["HostConfig"])
    config["Image"] = image
    _keep_hostname(config, old, engine_name)
    _tell_compose(config, image_id)
    host = _host_config(old, peers)
    endpoints, connect = connections(old, config, host, api_version)
    config["HostConfig"] = host
    if endpoints:
        config["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return CreateSpec(name=name, body=config, connect=connect, platform=platform)


def peers_named(inspect: Inspect) -> tuple[str, ...]:
    """Return the ids or names of the containers that *inspect* refers to: namespaces and volumes of others."""
    host = inspect["HostConfig"]
    shared = [str(host.get(field) or "") for field in _SHARED]
    named = [mode.removeprefix("container:") for mode in shared if mode.startswith("container:")]
    named += [entry.partition(":")[0] for entry in host.get("VolumesFrom") or ()]
    return tuple(dict.fromkeys(named))


def led_to(body: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a create body whose namespaces and links lead to the containers *ids* (name -> id), not to their namesakes."""
    host = dict(body["HostConfig"])
    for field in _SHARED:
        mode = str(host.get(field) or "")
        named = mode.removeprefix("container:")
        if mode.startswith("container:") and named in ids:
            host[field] = f"container:{ids[named]}"
    if host.get("Links"):
        links = (str(link).partition(":") for link in host["Links"])
        host["Links"] = [f"{ids.get(source, source)}:{alias or source}" for source, _, alias in links]
    return {**body, "HostConfig": host}


def shares_with(other: Inspect, inspect: Inspect) -> str:
    """Return by which field *other* lives in *inspect*'s namespaces or hangs on it by a link, or empty."""
    known_as = {inspect["Id"], inspect["Name"].lstrip("/"), inspect["Id"][:SHORT_ID]}
    host = other["HostConfig"]
    for field in _SHARED:
        mode = str(host.get(field) or "")
        if mode.startswith("container:") and mode.removeprefix("container:") in known_as:
            return f"{field} {mode}"
    for link in host.get("Links") or ():
        if link.partition(":")[0].lstrip("/") in known_as:
            return f"link to {link.partition(':')[0].lstrip('/')}"
    return ""


def _keep_hostname(config: dict[str, Any], old: Inspect, engine_name: str) -> None:
    """Drop the hostname that Docker gave; keep the one that the user chose."""
    host = old["HostConfig"]
    mode = str(host.get("NetworkMode") or "")
    given = config.get("Hostname") == old["Id"][:SHORT_ID] or mode.startswith("container:") or bool(host.get("UTSMode"))
    if mode == "host":
        full = ".".join(part for part in (config.get("Hostname"), config.get("Domainname")) if part)
        given = given or not engine_name or engine_name in (full, config.get("Hostname"))
    if given:
        config.pop("Hostname", None)
        if mode == "host" or host.get("UTSMode"):
            config.pop("Domainname", None)


def _tell_compose(config: dict[str, Any], image_id: str) -> None:
    """Name the new image to Compose, so that its next ``up`` finds nothing to recreate."""
    labels = config.get("Labels") or {}
    if COMPOSE_IMAGE_LABEL in labels:
        config["Labels"] = labels | {COMPOSE_IMAGE_LABEL: image_id}


def _host_config(old: Inspect, peers: Mapping[str, Inspect]) -> dict[str, Any]:
    host = deepcopy(old["HostConfig"])
    for field in _SHARED:
        mode = str(host.get(field) or "")
        if mode.startswith("container:"):
            host[field] = "container:" + _by_name(mode.removeprefix("container:"), peers)
    lenders = [entry for entry in host.get("VolumesFrom") or () if still_lends(_lender(entry, peers), old)]
    if host.get("VolumesFrom"):
        host["VolumesFrom"] = [_volumes_from(entry, peers) for entry in lenders]
    if host.get("Links"):
        host["Links"] = [_link(entry) for entry in host["Links"]]
    borrowed = lent(peers[entry.partition(":")[0]] for entry in lenders)
    host["Mounts"] = named_mounts(old)
    host["Binds"] = list(host.get("Binds") or ()) + carried_binds(old, borrowed)
    return {field: value for field, value in host.items() if value is not None and not _empty(host, field)}


def _empty(host: Mapping[str, Any], field: str) -> bool:
    """Tell whether *field* is one of the lists that were added above and have nothing in them."""
    return field in ("Mounts", "Binds", "VolumesFrom") and not host[field]


def _by_name(container: str, peers: Mapping[str, Inspect]) -> str:
    """Return the peer's name, which outlives its replacement; its id where no inspect is known."""
    found = peers.get(container)
    return str(found["Name"]).lstrip("/") if found else container


def _lender(entry: str, peers: Mapping[str, Inspect]) -> Inspect | None:
    return peers.get(entry.partition(":")[0])


def _volumes_from(entry: str, peers: Mapping[str, Inspect]) -> str:
    container, colon, mode = entry.partition(":")
    return _by_name(container, peers) + colon + mode


def _link(entry: str) -> str:
    """Turn ``/db:/web/alias`` of an inspect into the ``db:alias`` that create takes."""
    source, _, target = entry.partition(":")
    return f"{source.lstrip('/')}:{target.rpartition('/')[2]}" if target else source.lstrip("/")
