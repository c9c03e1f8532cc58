"""From the inspects of the old container and its image to what creates the new one; the cases are in specs.json."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fleet.engine.spec import new_spec, peers_named, shares_with
from fleet.engine.volumes import writable

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "specs.json").read_text())
ID = "a" * 64


def inspect(case: dict[str, Any]) -> dict[str, Any]:
    """Return a whole inspect for the parts that a case states."""
    mode = case.get("host", {}).get("NetworkMode", "default")
    return {
        "Id": ID,
        "Name": "/web",
        "Image": "sha256:old",
        "Config": {"Image": "app:1", "Hostname": ID[:12], "Domainname": ""} | case.get("config", {}),
        "HostConfig": {"NetworkMode": mode} | case.get("host", {}),
        "Mounts": case.get("mounts", []),
        "NetworkSettings": {"Networks": case.get("networks", {"bridge": {}} if mode == "default" else {mode: {}})},
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_same_container_with_a_new_image(case: dict[str, Any]) -> None:
    old = inspect(case)
    before = deepcopy(old)
    spec = new_spec(
        old,
        {"Config": case.get("image", {"Env": []})},
        name="web.new",
        image="app:1",
        image_id="sha256:new",
        api_version=case.get("api", "1.45"),
        peers=case.get("peers", {}),
        engine_name="node7",
    )
    body = dict(spec.body)
    host = body.pop("HostConfig")
    assert body.pop("Image") == "app:1"
    if "Domainname" not in case["body"] and not body.get("Domainname"):
        body.pop("Domainname", None)
    assert body == case["body"]
    assert host == {"NetworkMode": "default"} | case.get("body_host", {})
    assert [[name, dict(endpoint)] for name, endpoint in spec.connect] == case.get("connect", [])
    assert old == before, "the inspect that was given must not be changed"


def test_where_nothing_is_known_of_the_old_image_all_stays() -> None:
    old = inspect({"config": {"Env": ["PATH=/bin"], "Entrypoint": None, "Cmd": ["serve"], "WorkingDir": "/srv"}})
    spec = new_spec(old, {}, name="n", image="app:1", image_id="sha256:new", api_version="1.45")
    assert spec.body["Env"] == ["PATH=/bin"]
    assert spec.body["Entrypoint"] == [""]
    assert spec.body["Cmd"] == ["serve"]
    assert spec.body["WorkingDir"] == "/srv"


def test_a_recreate_of_what_was_recreated_is_the_same() -> None:
    """Nothing may be added each time: binds, links, aliases."""
    case = {
        "host": {"NetworkMode": "back", "Links": ["/db:/web/database"], "Binds": ["named:/a"]},
        "networks": {"back": {"Aliases": ["db", ID[:12]]}},
        "mounts": [
            {"Type": "volume", "Name": "named", "Destination": "/a", "RW": True},
            {"Type": "volume", "Name": "f00", "Destination": "/data", "RW": True},
        ],
    }
    first = new_spec(inspect(case), {}, name="n", image="app:1", image_id="sha256:new", api_version="1.41")
    middle = inspect(case | {"host": first.body["HostConfig"]})
    middle["NetworkSettings"]["Networks"] = {"back": {"Aliases": ["db", "b" * 12]}}
    middle["Id"] = "b" * 64
    second = new_spec(middle, {}, name="n", image="app:1", image_id="sha256:new", api_version="1.41")
    assert second.body["HostConfig"] == first.body["HostConfig"]
    assert second.body["NetworkingConfig"] == first.body["NetworkingConfig"]


def test_a_place_that_was_written_with_more_slashes_is_mounted_once() -> None:
    """Engines keep the words as they were written, and say of the mount where it is."""
    old: dict[str, Any] = {
        "Id": "a" * 64,
        "Name": "/web",
        "Config": {},
        "HostConfig": {
            "Binds": ["named:/named//sub/", "/etc:/mnt//etc/:ro"],
            "Mounts": [{"Type": "volume", "Target": "/nameless//x/"}],
        },
        "Mounts": [
            {"Type": "volume", "Name": "named", "Destination": "/named/sub", "RW": True},
            {"Type": "bind", "Source": "/etc", "Destination": "/mnt/etc", "RW": False},
            {"Type": "volume", "Name": "f00d", "Destination": "/nameless/x", "RW": True},
        ],
    }
    host = new_spec(old, {}, name="web", image="app:1", image_id="", api_version="1.45").body["HostConfig"]
    assert host["Binds"] == old["HostConfig"]["Binds"]
    assert host["Mounts"] == [{"Type": "volume", "Target": "/nameless//x/", "Source": "f00d"}]


def test_the_containers_that_one_refers_to_are_named_once() -> None:
    host = {
        "NetworkMode": "container:vpn",
        "PidMode": "container:vpn",
        "IpcMode": "private",
        "VolumesFrom": ["store:ro", "other"],
    }
    assert peers_named({"HostConfig": host}) == ("vpn", "store", "other")


def test_what_may_be_written_to_is_told_and_a_mount_of_which_nothing_is_said_may() -> None:
    mounts: list[dict[str, Any]] = [
        {"Type": "volume", "Name": "data", "Destination": "/data"},
        {"Type": "bind", "Source": "/etc/app", "Destination": "/etc/app", "RW": True},
        {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": False},
        {"Type": "tmpfs", "Destination": "/run"},
    ]
    assert writable({"Mounts": mounts}) == ("/data", "/etc/app")
    assert writable({"Mounts": None}) == ()


@pytest.mark.parametrize(
    ("host", "how"),
    [
        ({"NetworkMode": f"container:{ID}"}, "NetworkMode"),
        ({"NetworkMode": "container:web"}, "NetworkMode"),
        ({"PidMode": f"container:{ID[:12]}"}, "PidMode"),
        ({"IpcMode": "container:web"}, "IpcMode"),
        ({"Links": ["/web:/shop/backend"]}, "link to web"),
        ({"NetworkMode": "container:webber"}, ""),
        ({"Links": ["/webber:/shop/backend"]}, ""),
        ({"NetworkMode": "web"}, ""),
    ],
)
def test_who_depends_on_a_container_is_told_by_which_field(host: dict[str, Any], how: str) -> None:
    other = {"Id": "c" * 64, "Name": "/shop", "HostConfig": host}
    told = shares_with(other, inspect({}))
    assert how in told
    assert bool(told) == bool(how)
