"""What differs between two containers' configuration, told without a value of an environment variable. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from fleet.engine.protocol import Inspect

_SHORT_ID = 12
_FROM_MOUNTS = ("Binds", "Mounts")
"""Fields of HostConfig that say how a volume came; what counts is what is mounted, and that is compared."""
_LONGEST_VALUE = 120
_LONGEST_PATH = 300
MOST_LINES = 500
"""How many differences are told: an image may have as many labels and variables as its builder likes, of any length."""
_ENDPOINT = ("IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority")


def config_diff(old: Inspect, new: Inspect) -> tuple[str, ...]:
    """Return lines ``path: old -> new`` for all that differs but identity and state; environment by name alone."""
    return differences(configuration(old), configuration(new))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return lines ``path: old -> new`` for what differs between two configurations; environment by name alone.

    They are MOST_LINES at most, and one that says how many more there are.
    """
    found = _lines("", before, after)
    lines = tuple(islice(found, MOST_LINES))
    more = sum(1 for _ in found)
    return (*lines, f"and {more} more") if more else lines


def configuration(inspect: Inspect) -> dict[str, Any]:
    """Return what of an inspect is configuration, in one spelling by which two containers compare."""
    own_id = inspect["Id"]
    config = {key: value for key, value in inspect["Config"].items() if key not in ("Volumes", "Env", "Hostname")}
    if inspect["Config"].get("Hostname") != own_id[:_SHORT_ID]:
        config["Hostname"] = inspect["Config"].get("Hostname")
    config["Env"] = environment(inspect["Config"].get("Env") or ())
    host = {key: value for key, value in inspect["HostConfig"].items() if key not in _FROM_MOUNTS}
    host["Links"] = sorted(_link(entry) for entry in host.get("Links") or ())
    networks = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "Config": _without_empty(config),
        "HostConfig": _without_empty(host),
        "Networks": {name: _endpoint(own_id, network) for name, network in networks.items()},
        "Mounts": {mount["Destination"]: _mount(mount) for mount in inspect.get("Mounts") or ()},
    }


def _lines(path: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            if path == "Config" and key == "Env":
                yield from _environment_lines(before.get(key) or {}, after.get(key) or {})
            else:
                yield from _lines(f"{path}.{key}" if path else str(key), before.get(key), after.get(key))
    else:
        yield f"{_cut(path, _LONGEST_PATH)}: {_shown(before)} -> {_shown(after)}"


def _environment_lines(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            told = [("unset" if name not in side else "set") for side in (before, after)]
            yield (
                _cut(f"Config.Env.{name}", _LONGEST_PATH)
                + ": "
                + ("changed" if told == ["set", "set"] else " -> ".join(told))
            )


def environment(entries: Iterable[str]) -> dict[str, str]:
    """Return the value of each variable by its name."""
    return {str(entry).partition("=")[0]: str(entry).partition("=")[2] for entry in entries}


def _endpoint(own_id: str, network: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: network.get(key) for key in _ENDPOINT}
    aliases = [alias for alias in network.get("Aliases") or () if alias not in (own_id, own_id[:_SHORT_ID])]
    return _without_empty(told | {"Aliases": sorted(aliases)})


def _mount(mount: Mapping[str, Any]) -> str:
    source = mount.get("Name") or mount.get("Source")
    return f"{mount.get('Type')} {source} {'rw' if mount.get('RW', True) else 'ro'}"


def _link(entry: str) -> str:
    source, _, target = entry.partition(":")
    return f"{source.lstrip('/')}:{target.rpartition('/')[2]}"


def _without_empty(value: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what says nothing: engines write null, an empty list or an empty object for the same."""
    return {key: kept for key, kept in value.items() if kept not in (None, [], {}, "")}


def _shown(value: Any) -> str:
    return _cut("unset" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False), _LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
