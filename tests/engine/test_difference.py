"""What differs between two containers is told by path, and never with the value of an environment variable."""

from copy import deepcopy
from typing import Any

import pytest

from fleet.engine.difference import config_diff

OLD: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "/web",
    "State": {"Running": True},
    "Config": {"Hostname": "a" * 12, "Env": ["TOKEN=secret", "MODE=prod"], "Labels": {"v": "1"}, "Cmd": ["serve"]},
    "HostConfig": {"Binds": ["x:/x"], "Links": ["/db:/web/database"], "Memory": 0, "CapAdd": None},
    "Mounts": [{"Type": "volume", "Name": "x", "Destination": "/x", "RW": True}],
    "NetworkSettings": {"Networks": {"back": {"Aliases": ["db", "a" * 12], "IPAddress": "10.0.0.7"}}},
}


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """Return the same container made again, with *change* merged in by path."""
    new = deepcopy(OLD) | {"Id": "b" * 64, "Name": "/other"}
    new["Config"]["Hostname"] = "b" * 12
    new["HostConfig"]["Links"] = ["/db:/other/database"]
    new["NetworkSettings"]["Networks"]["back"]["Aliases"] = ["db", "b" * 12]
    for path, value in change.items():
        *parents, last = path.split(".")
        place = new
        for parent in parents:
            place = place[parent]
        place[last] = value
    return new


def test_another_id_name_address_or_spelling_is_no_difference() -> None:
    assert config_diff(OLD, changed({})) == ()
    assert config_diff(OLD, changed({"HostConfig.CapAdd": [], "HostConfig.Binds": None})) == ()
    assert config_diff(OLD, changed({"NetworkSettings.Networks.back.IPAddress": "10.0.0.9"})) == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"Config.Labels": {"v": "2"}}, 'Config.Labels.v: "1" -> "2"'),
        ({"Config.Cmd": None}, 'Config.Cmd: ["serve"] -> unset'),
        ({"HostConfig.Memory": 7}, "HostConfig.Memory: 0 -> 7"),
        ({"Config.Env": ["TOKEN=other", "MODE=prod"]}, "Config.Env.TOKEN: changed"),
        (
            {"Mounts": [{"Type": "bind", "Source": "/x", "Destination": "/x"}]},
            'Mounts./x: "volume x rw" -> "bind /x rw"',
        ),
        ({"Config.Env": ["MODE=prod"]}, "Config.Env.TOKEN: set -> unset"),
        ({"Config.Env": ["TOKEN=secret", "MODE=prod", "NEW="]}, "Config.Env.NEW: unset -> set"),
        ({"Config.Hostname": "web01"}, 'Config.Hostname: unset -> "web01"'),
        ({"Mounts": []}, 'Mounts./x: "volume x rw" -> unset'),
        ({"NetworkSettings.Networks": {}}, 'Networks.back: {"Aliases": ["db"]} -> unset'),
        ({"Config.Labels": {"v": "x" * 500}}, 'Config.Labels.v: "1" -> "' + "x" * 118 + "…"),
    ],
)
def test_a_difference_is_told_by_its_path(change: dict[str, Any], line: str) -> None:
    told = config_diff(OLD, changed(change))
    assert told == (line,)
    assert "secret" not in "".join(told)
