"""What an update will change in a container's configuration, told before anything is pulled. Pure.

The host says which fields of a container its user set, by the rule by which the recreate tells them from the image's
defaults. Between the old image's config and the new one's, the fields that differ and that the user did not set are
then what will change.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.engine.defaults import without_image_defaults
from fleet.engine.difference import differences, environment
from fleet.engine.protocol import Inspect

_LABELS = ("fleet.", "com.centurylinklabs.watchtower.", "org.opencontainers.image.version")
"""The labels of an image that matter: what steers Fleet, and the version of what it holds (OCI image spec, annotations).

Others are another revision or date at each build.
"""
MOST_OWN = 300
"""How many fields of one container are told; of one with more nothing is."""
MOST_CHANGES = 100
"""How many changes are told of one update."""
_LONGEST = 300
_WHOLE = ("Cmd", "Entrypoint", "StopSignal", "User", "WorkingDir")
_BY_KEY = ("Env", "ExposedPorts", "Healthcheck", "Labels")
"""What an engine takes from an image's config (moby, ``daemon/commit.go: merge``), but for its volumes: those are mounts."""
_MOUNTS = "Mounts"
_NEW_VOLUME = "a new volume"
_OWN = "set by the user"
"""Stands on both sides for what stays, and so is never shown."""

Path = tuple[str, ...]
Fields = dict[Path, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What will become of one container's configuration, in the words of an outcome's config diff."""

    changes: tuple[str, ...] = ()
    """Lines ``path: old -> new``; environment by name alone."""
    kept: tuple[str, ...] = ()
    """The paths that stay because the user set them."""
    overridden: tuple[str, ...] = ()
    """Those of them which the new image says otherwise than the old one."""
    unknown: str = ""
    """What of this is not known, and why; empty: all is."""


def own_fields(inspect: Inspect, image: Inspect) -> tuple[str, ...] | None:
    """Return the paths of what the user set in a container, among what an image may say; None: too many to tell.

    *image* is the inspect of its image, empty where the engine has lost it: then all is taken to be the user's, as the
    recreate does. No value is told.
    """
    own = without_image_defaults(inspect["Config"], image.get("Config") or {}, inspect["HostConfig"])
    whole: set[Path] = {("Config", field) for field in _WHOLE if own.get(field)}
    if "Cmd" in own:  # both may be set to nothing
        whole |= {("Config", "Cmd")} | ({("Config", "Entrypoint")} if "Entrypoint" in own else set())
    own["Env"] = environment(own.get("Env") or ())
    keyed = {("Config", field, str(key)) for field in _BY_KEY for key in own.get(field) or () if _told(field, str(key))}
    mounts = {(_MOUNTS, str(mount["Destination"])) for mount in inspect.get("Mounts") or ()}
    found = sorted(".".join(path) for path in whole | keyed | mounts)
    return None if len(found) > MOST_OWN or any(len(path) > _LONGEST for path in found) else tuple(found)


def foresee(old_image: Mapping[str, Any], new_image: Mapping[str, Any], own: Iterable[str]) -> Foresight:
    """Return what changes from *old_image* to *new_image*, both an image's ``config``, in a container with *own* fields."""
    set_by_user = {path for path in map(_path, own) if path}
    old, new = _fields(old_image), _fields(new_image)
    overridden = {path for path in set_by_user if old.get(path) != new.get(path)}
    for path in [path for path in old if path[0] == _MOUNTS]:
        del old[path]  # the old container's volumes are carried over, whatever the new image says
    stays = dict.fromkeys(set_by_user, _OWN)
    changes = differences(_nested(old | stays), _nested(new | stays))
    return Foresight(
        changes=_bounded(changes),
        kept=_spelled(set_by_user),
        overridden=_spelled(overridden),
    )


def _told(field: str, key: str) -> bool:
    return field != "Labels" or key.startswith(_LABELS)


def _path(text: str) -> Path | None:
    """Read a path as :func:`own_fields` spells it; None for one that it never spells."""
    head, _, rest = text.partition(".")
    if head == _MOUNTS:
        return (head, rest) if rest else None
    field, _, key = rest.partition(".")
    known = (field in _BY_KEY and key) or (field in _WHOLE and not key)
    return ((head, field, key) if key else (head, field)) if head == "Config" and known else None


def _fields(image: Mapping[str, Any]) -> Fields:
    """Return what of an image's config a container takes over, by path."""
    found: Fields = {("Config", field): image[field] for field in _WHOLE if image.get(field)}
    keyed = {field: image.get(field) or {} for field in _BY_KEY}
    keyed["Env"] = environment(image.get("Env") or ())
    keyed["Healthcheck"] = {key: value for key, value in keyed["Healthcheck"].items() if value}
    for field, values in keyed.items():
        found |= {("Config", field, key): value for key, value in values.items() if _told(field, key)}
    return found | {(_MOUNTS, place): _NEW_VOLUME for place in image.get("Volumes") or ()}


def _nested(fields: Fields) -> dict[str, Any]:
    """Return the fields as the configuration of a container holds them."""
    nested: dict[str, Any] = {"Config": {}, _MOUNTS: {}}
    for path, value in fields.items():
        place = nested
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return nested


def _spelled(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted(".".join(path) for path in paths))[:MOST_OWN]


def _bounded(lines: Iterable[str]) -> tuple[str, ...]:
    def all_of_it() -> Iterator[str]:
        for number, line in enumerate(lines):
            if number == MOST_CHANGES:
                yield "and more"
                return
            yield line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"

    return tuple(all_of_it())
