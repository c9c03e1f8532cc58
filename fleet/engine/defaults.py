"""What of a container's config came from its image, and goes, so that the new image's defaults take over. Pure.

The engine merges an image's config into a container's at create, and the inspect shows the sum. What equals the
image's is taken to have come from it.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

Config = dict[str, Any]

_SCALARS = ("WorkingDir", "User", "StopSignal", "Shell", "Domainname", "ArgsEscaped")
_CLEARED = [""]
"""How ``--entrypoint ""`` reaches the engine: an entrypoint that the user took away."""


def without_image_defaults(config: Mapping[str, Any], image: Mapping[str, Any], host: Mapping[str, Any]) -> Config:
    """Return a copy of *config* minus what equals *image*'s; *host* is the container's HostConfig."""
    own: Config = {key: deepcopy(value) for key, value in config.items() if value is not None and key != "OnBuild"}
    from_image = set(image.get("Env") or ())
    own["Env"] = [entry for entry in own.get("Env") or () if entry not in from_image]
    own["Labels"] = _minus(own.get("Labels"), image.get("Labels"))
    own["Volumes"] = _minus(own.get("Volumes"), image.get("Volumes"))
    own["ExposedPorts"] = _ports(own.get("ExposedPorts"), image.get("ExposedPorts"), host.get("PortBindings"))
    for field in _SCALARS:
        if field in own and own[field] == image.get(field):
            del own[field]
    _command(own, config, image)
    _healthcheck(own, image.get("Healthcheck") or {})
    return {key: value for key, value in own.items() if value != {} and (value != [] or key in ("Cmd", "Entrypoint"))}


def _minus(own: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> Config:
    defaults = image or {}
    return {key: value for key, value in (own or {}).items() if key not in defaults or defaults[key] != value}


def _ports(own: Mapping[str, Any] | None, image: Mapping[str, Any] | None, bound: Mapping[str, Any] | None) -> Config:
    """Drop the image's ports, but never one that is published."""
    return {port: value for port, value in (own or {}).items() if port not in (image or {}) or port in (bound or {})}


def _command(own: Config, config: Mapping[str, Any], image: Mapping[str, Any]) -> None:
    """Drop entrypoint and command together by the engine's rule: a given entrypoint keeps the image's command out.

    Where nothing is known of the image both are stated, so that they are what they were.
    """
    entrypoint, command = config.get("Entrypoint") or [], config.get("Cmd") or []
    if not image:
        own["Entrypoint"], own["Cmd"] = list(entrypoint) or list(_CLEARED), list(command)
        return
    default_entrypoint, default_command = image.get("Entrypoint") or [], image.get("Cmd") or []
    own.pop("Entrypoint", None)
    own.pop("Cmd", None)
    lost_command = not command and bool(default_command)
    if entrypoint != default_entrypoint or lost_command:
        own["Entrypoint"] = list(entrypoint) or list(_CLEARED)
        own["Cmd"] = list(command)
    elif command != default_command:
        own["Cmd"] = list(command)


def _healthcheck(own: Config, image: Mapping[str, Any]) -> None:
    """Keep of the HEALTHCHECK what the user set; ``NONE`` only where it is not the image's own."""
    check = {key: value for key, value in (own.pop("Healthcheck", None) or {}).items() if value}
    kept = {key: value for key, value in check.items() if value != image.get(key)}
    if kept:
        own["Healthcheck"] = kept
