"""What the in-memory engine makes of a create body: the image's config merged in, the defaults, the mounts.

By the rules of moby's ``daemon/commit.go: merge`` and ``daemon/create.go``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fleet.testing.engine_images import as_json

_NOT_CONFIG = ("HostConfig", "NetworkingConfig")
_HOST_DEFAULTS: Mapping[str, Any] = {
    "Binds": None,
    "NetworkMode": "default",
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumesFrom": None,
    "CapAdd": None,
    "CapDrop": None,
    "Links": None,
    "IpcMode": "private",
    "PidMode": "",
    "UTSMode": "",
    "Memory": 0,
    "ShmSize": 67108864,
    "Runtime": "runc",
}
_UNIONS = ("ExposedPorts", "Labels", "Volumes")
_SCALARS = ("User", "WorkingDir", "StopSignal")
_PROBE = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


def merged_config(body: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """Return the container's config: what *body* says, and the image's where it says nothing."""
    config = {key: as_json(value) for key, value in body.items() if key not in _NOT_CONFIG}
    for field in _UNIONS:
        config[field] = {**(image.get(field) or {}), **(config.get(field) or {})}
    for field in _SCALARS:
        config[field] = config.get(field) or image.get(field) or ""
    config["Env"] = _environment(config.get("Env") or [], image.get("Env") or [])
    _command(config, image)
    probe = _probe(config.get("Healthcheck"), image.get("Healthcheck"))
    config.pop("Healthcheck", None)
    return config | ({"Healthcheck": probe} if probe else {})


def host_config(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the HostConfig of *body*, with the engine's defaults."""
    given = {key: value for key, value in (body.get("HostConfig") or {}).items() if value is not None}
    host = as_json(dict(_HOST_DEFAULTS)) | as_json(given)
    policy = host["RestartPolicy"] or {}
    host["RestartPolicy"] = {
        "Name": policy.get("Name") or "no",
        "MaximumRetryCount": policy.get("MaximumRetryCount") or 0,
    }
    return host


def mounts(
    config: Mapping[str, Any], host: Mapping[str, Any], lent: list[dict[str, Any]], nameless: Callable[[], str]
) -> list[dict[str, Any]]:
    """Return the mounts; *lent* are those of VolumesFrom, *nameless* makes the name of an anonymous volume."""
    found: dict[str, dict[str, Any]] = {mount["Destination"]: as_json(mount) for mount in lent}
    for bind in host.get("Binds") or ():
        source, destination, *options = bind.split(":")
        kind = "bind" if source.startswith("/") else "volume"
        found[destination] = _mount(kind, source, destination, writable="ro" not in ",".join(options).split(","))
    for mount in host.get("Mounts") or ():
        source = mount.get("Source") or (nameless() if mount["Type"] == "volume" else "")
        found[mount["Target"]] = _mount(mount["Type"], source, mount["Target"], writable=not mount.get("ReadOnly"))
    for destination in config.get("Volumes") or ():
        if destination not in found:
            found[destination] = _mount("volume", nameless(), destination, writable=True)
    return [found[destination] for destination in sorted(found)]


def _mount(kind: str, source: str, destination: str, *, writable: bool) -> dict[str, Any]:
    named = {"Name": source, "Source": f"/var/lib/docker/volumes/{source}/_data", "Driver": "local"}
    return {
        "Type": kind,
        **(named if kind == "volume" else {"Source": source}),
        "Destination": destination,
        "Mode": "",
        "RW": writable,
        "Propagation": "",
    }


def _environment(own: list[str], image: list[str]) -> list[str]:
    named = {entry.partition("=")[0] for entry in own}
    return own + [entry for entry in image if entry.partition("=")[0] not in named]


def _command(config: dict[str, Any], image: Mapping[str, Any]) -> None:
    entrypoint, command = config.get("Entrypoint"), config.get("Cmd")
    if not entrypoint:
        command = command or as_json(image.get("Cmd"))
        entrypoint = as_json(image.get("Entrypoint")) if entrypoint is None else entrypoint
    config["Entrypoint"] = None if entrypoint == [""] else entrypoint
    config["Cmd"] = command


def _probe(own: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any]:
    both = [{key: value for key, value in (one or {}).items() if value and key in _PROBE} for one in (image, own)]
    return as_json(both[0] | both[1])
