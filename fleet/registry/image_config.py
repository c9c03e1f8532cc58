"""What an image says of how it is run: the ``config`` of its configuration, proved by its digest."""

import json
from typing import Any

from fleet.errors import RegistryError
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.client import RegistryClient

CONFIG_CAP_BYTES = 4 * 1024 * 1024
"""The largest configuration that is read: as large as a manifest may be. Those of real images have a few KB."""


async def image_config(client: RegistryClient, repository: str, digest: Digest, platform: Platform) -> dict[str, Any]:
    """Return the ``config`` of the image that *digest*, of a manifest or an index, is on *platform*.

    Raise RegistryError where there is none that can be read, AuthNeeded and RegistryUnreachable.
    """
    manifest = await client.manifest(repository, digest)
    if manifest.is_index:
        chosen = manifest.choose(platform)
        if chosen is None:
            raise RegistryError(f"cannot find an image for {platform} in {repository}@{digest}")
        manifest = await client.manifest(repository, chosen.digest)
    if manifest.config is None:
        raise RegistryError(f"cannot read {repository}@{digest} as an image: it names no configuration")
    raw = await client.blob(repository, manifest.config.digest, cap=CONFIG_CAP_BYTES)
    return _config(raw, f"{repository}@{digest}")


def _config(raw: bytes, named: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"cannot read the configuration of {named}: it is not JSON") from error
    config = document.get("config") if isinstance(document, dict) else None
    if config is not None and not isinstance(config, dict):
        raise RegistryError(f"cannot read the configuration of {named}: its config is no object")
    return _checked(config or {}, named)


_LISTS = ("Env", "Cmd", "Entrypoint")
_OBJECTS = ("ExposedPorts", "Healthcheck", "Labels", "Volumes")
_TEXTS = ("User", "WorkingDir", "StopSignal")


def _checked(config: dict[str, Any], named: str) -> dict[str, Any]:
    """Return those fields that an engine takes over, each of its kind."""
    kinds: dict[str, type] = {
        **dict.fromkeys(_LISTS, list),
        **dict.fromkeys(_OBJECTS, dict),
        **dict.fromkeys(_TEXTS, str),
    }
    found = {field: config[field] for field in kinds if config.get(field) is not None}
    for field, value in found.items():
        listed = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        if not (isinstance(value, kinds[field]) and listed):
            raise RegistryError(f"cannot read the configuration of {named}: its {field} is of another kind")
    return found
