"""What Home Assistant is told (pure): a device for each host with an update entity for each container, and one for the centre."""

import json
from dataclasses import dataclass
from typing import Any

from fleet.mqtt.place import CENTRE, Place, thing

INSTALL = b"INSTALL"
"""What a request to install says."""
ONLINE, OFFLINE = b"online", b"offline"
LONGEST_SUMMARY = 255
"""Signs of a summary that Home Assistant shows."""
LONGEST_NAME = 200
_KNOWN = "{{ 'online' if value_json.latest_version is defined else 'offline' }}"
"""An entity whose newest version is not known is not available: Home Assistant would go on showing what it was told before."""
_DIGITS = slice(7, 19)
"""Of sha256:..., the digits by which people know a digest."""

Messages = dict[str, bytes]
"""By topic, what is to stand there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerTold:
    """One container, as Home Assistant sees it."""

    name: str
    title: str
    """The image that it follows."""
    installed: str
    latest: str
    """Empty: not known."""
    summary: str = ""
    url: str = ""
    """Where its release is told of; empty: not known."""
    under_way: bool = False
    may_install: bool = False
    """Whether the owner lets Home Assistant order its updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTold:
    """One host, as Home Assistant sees it."""

    id: str
    """In hex: it stays where the name changes."""
    name: str
    engine_version: str = ""
    online: bool = True
    containers: tuple[ContainerTold, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreTold:
    """What is of no host in particular."""

    pending: int
    """How many containers are outdated."""
    mirrors: tuple[tuple[str, bool], ...] = ()
    """Each mirror, and whether a host gets answers of it."""


def version(tag: str, digest: str, other: str = "") -> str:
    """Return what a digest of a tag is called.

    Home Assistant compares what looks like a version, and a digest of digits alone does: then half of what is new would be
    shown as older than what runs. What has a tag and a digest looks like none, and differs where the digests do. *other* is
    the digest beside which it is shown.
    """
    alike = digest != other and digest[_DIGITS] == other[_DIGITS]
    return f"{tag} ({digest if alike else digest[_DIGITS]})"


def of_host(host: HostTold, place: Place) -> Messages:
    """Return all that is to stand of a host; nothing, where it has no containers."""
    if not host.containers:
        return {}
    found: Messages = {place.status_of(host.id): ONLINE if host.online else OFFLINE}
    engine = {"sw_version": host.engine_version} if host.engine_version else {}
    device = {
        "identifiers": [place.unique(host.id)],
        "name": host.name,
        "manufacturer": "Fleet",
        "model": "Docker host",
        **engine,
    }
    for container in host.containers:
        found |= _container(container, host, device, place)
    return found


def of_centre(centre: CentreTold, place: Place) -> Messages:
    """Return all that is to stand of the centre."""
    device = {
        "identifiers": [place.unique(CENTRE)],
        "name": "Fleet" if place.topic == "fleet" else f"Fleet {place.topic}",
        "manufacturer": "Fleet",
        "model": "Centre",
        "entry_type": "service",
    }
    counted = _config("pending", "Pending updates", device, place, CENTRE)
    counted |= {"icon": "mdi:package-up", "state_class": "measurement", "unit_of_measurement": "updates"}
    found = _entity("sensor", "pending", counted, str(centre.pending).encode(), place, CENTRE)
    for mirror, up in centre.mirrors:
        id = thing(mirror)
        told = _config(id, f"Mirror {mirror}", device, place, CENTRE) | {"device_class": "connectivity"}
        found |= _entity("binary_sensor", id, told, b"ON" if up else b"OFF", place, CENTRE)
    return found


def _container(container: ContainerTold, host: HostTold, device: dict[str, Any], place: Place) -> Messages:
    id = thing(container.name)
    config = _config(id, container.name, device, place, host.id)
    known = {"topic": place.state(host.id, id), "value_template": _KNOWN}
    config["availability"] += [{"topic": place.status_of(host.id)}, known]
    if container.may_install:
        config |= {"command_topic": place.install(host.id, id), "payload_install": INSTALL.decode()}
    state: dict[str, Any] = {
        "installed_version": container.installed,
        "title": container.title,
        "in_progress": container.under_way,
    }
    # Of what is left out, Home Assistant keeps what it was told before.
    state["release_summary"] = container.summary[:LONGEST_SUMMARY]
    state |= {"latest_version": container.latest} if container.latest else {}
    state |= {"release_url": container.url} if container.url else {}
    return _entity("update", id, config, _written(state), place, host.id)


def _config(id: str, name: str, device: dict[str, Any], place: Place, owner: str) -> dict[str, Any]:
    return {
        "name": name[:LONGEST_NAME],
        "unique_id": place.unique(owner, id),
        "state_topic": place.state(owner, id),
        "availability": [{"topic": place.status}],
        "availability_mode": "all",
        "device": device,
        "origin": {"name": "Fleet"},
    }


def _entity(component: str, id: str, config: dict[str, Any], state: bytes, place: Place, owner: str) -> Messages:
    """Return the state first: where its description comes, it is there."""
    return {place.state(owner, id): state, place.config(component, owner, id): _written(config)}


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
