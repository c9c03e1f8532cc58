"""What differs between two containers is told by path, and never with the value of an environment variable."""

from copy import deepcopy
from time import process_time
from typing import Any

import pytest

from fleet.engine.defaults import without_image_defaults
from fleet.engine.difference import MOST_LINES, config_diff

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


def test_an_image_with_more_to_say_than_anybody_reads_is_told_in_part() -> None:
    """Its builder may write as many labels as they like, and each as long."""
    labels = {f"k{number:05}": "x" * 10_000 for number in range(20_000)} | {"v": "1", "l" * 100_000: "1"}
    told = config_diff(OLD, changed({"Config.Labels": labels}))
    assert len(told) == MOST_LINES + 1
    assert told[-1] == f"and {20_001 - MOST_LINES} more"
    assert max(map(len, told)) < 600
    (line,) = config_diff(OLD, changed({"Config.Labels": {"v": "1", "l" * 100_000: "1"}}))
    assert len(line) < 600


def test_what_comes_from_an_image_is_found_at_once_among_very_much() -> None:
    """Every snapshot looks: what grows with the square of an image's variables would take 20 seconds each time."""
    many = [f"E{number}={number}" for number in range(30_000)]
    began = process_time()
    assert without_image_defaults({"Env": [*many, "OWN=1"]}, {"Env": many}, {})["Env"] == ["OWN=1"]
    assert process_time() - began < 5
