"""What an update will change is told before it: the zoo (tests/updates/test_zoo.py) compares it with what then changed."""

from typing import Any

import pytest

from fleet.engine.protocol import Inspect
from fleet.updates.foresight import MOST_CHANGES, MOST_OWN, foresee, own_fields

SECRET = "hunter2"


def inspect(config: dict[str, Any], *mounts: str, **host: Any) -> Inspect:
    """Return what of an inspect counts."""
    return {"Config": config, "HostConfig": host, "Mounts": [{"Destination": place} for place in mounts]}


def test_what_the_user_set_is_told_by_path_and_without_a_value() -> None:
    image = {"Config": {"Env": ["PATH=/bin", "LEVEL=info"], "User": "app", "Cmd": ["serve"], "WorkingDir": "/srv"}}
    config = {
        "Env": ["PATH=/bin", "LEVEL=debug", f"TOKEN={SECRET}"],
        "User": "app",
        "Cmd": ["serve", "--quiet"],
        "WorkingDir": "/srv",
        "Labels": {"fleet.enable": "true", "org.acme.note": SECRET},
        "Healthcheck": {"Retries": 3},
    }
    own = own_fields(inspect(config, "/data"), image)
    assert own == (
        "Config.Cmd",
        "Config.Env.LEVEL",
        "Config.Env.TOKEN",
        "Config.Healthcheck.Retries",
        "Config.Labels.fleet.enable",
        "Mounts./data",
    )


def test_of_an_image_that_the_engine_lost_all_is_taken_for_the_users() -> None:
    config = {"Env": ["A=1"], "User": "", "Cmd": None, "Entrypoint": ["run"]}
    assert own_fields(inspect(config), {}) == ("Config.Cmd", "Config.Entrypoint", "Config.Env.A")


IMAGE = {"Config": {"Cmd": ["serve"]}}


@pytest.mark.parametrize("names", [[f"N{n}" for n in range(MOST_OWN + 1)], ["N" * 1000]])
def test_of_too_much_nothing_is_told_rather_than_a_part(names: list[str]) -> None:
    assert own_fields(inspect({"Cmd": ["serve"], "Env": [f"{name}=1" for name in names]}), IMAGE) is None


def test_of_as_much_as_may_be_told_all_is() -> None:
    told = own_fields(inspect({"Cmd": ["serve"], "Env": [f"N{n}=1" for n in range(MOST_OWN)]}), IMAGE)
    assert told is not None and len(told) == MOST_OWN


def test_an_image_changes_what_nobody_set() -> None:
    old = {"Env": [f"KEY={SECRET}", "GONE=1"], "Cmd": ["a"], "StopSignal": "SIGINT", "Labels": {"fleet.enable": "a"}}
    new = {
        "Env": [f"KEY={SECRET}2", "NEW=1"],
        "Cmd": ["b"],
        "User": "app",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "Healthcheck": {"Test": ["CMD", "ok"], "Retries": 0},
        "Labels": {"org.opencontainers.image.version": "2", "org.opencontainers.image.revision": "f00"},
        "OnBuild": ["RUN x"],
    }
    told = foresee(old, new, ())
    assert told.changes == (
        'Config.Cmd: ["a"] -> ["b"]',
        "Config.Env.GONE: set -> unset",
        "Config.Env.KEY: changed",
        "Config.Env.NEW: unset -> set",
        'Config.ExposedPorts: unset -> {"80/tcp": {}}',
        'Config.Healthcheck: unset -> {"Test": ["CMD", "ok"]}',
        "Config.Labels.fleet.enable: \"a\" -> unset",
        'Config.Labels.org.opencontainers.image.version: unset -> "2"',
        'Config.StopSignal: "SIGINT" -> unset',
        'Config.User: unset -> "app"',
        'Mounts./data: unset -> "a new volume"',
    )  # fmt: skip
    assert (told.kept, told.overridden, told.unknown) == ((), (), "")


def test_what_the_user_set_stays_and_what_the_image_says_otherwise_is_named() -> None:
    old = {"Env": ["LEVEL=info"], "Cmd": ["a"], "Healthcheck": {"Test": ["CMD", "a"], "Retries": 1}}
    new = {"Env": ["LEVEL=warn"], "Cmd": ["b"], "Healthcheck": {"Test": ["CMD", "b"], "Retries": 2}}
    own = ("Config.Cmd", "Config.Env.LEVEL", "Config.Env.TZ", "Config.Healthcheck.Test", "Mounts./data")
    told = foresee(old, new | {"Volumes": {"/data": {}}}, own)
    assert told.changes == ("Config.Healthcheck.Retries: 1 -> 2",)
    assert told.kept == own
    assert told.overridden == tuple(path for path in own if path != "Config.Env.TZ")


def test_a_volume_of_the_old_image_stays_although_the_new_one_names_it_no_more() -> None:
    told = foresee({"Volumes": {"/data": {}}}, {}, ("Mounts./data",))
    assert (told.changes, told.overridden) == ((), ("Mounts./data",))


@pytest.mark.parametrize("path", ["", ".", "Config", "Config.", "Config.Env", "Config.Cmd.x", "Mounts.", "State.Pid"])
def test_a_path_that_no_host_tells_is_left_out(path: str) -> None:
    assert foresee({"Cmd": ["a"]}, {"Cmd": ["b"]}, [path]).kept == ()


def test_an_image_that_says_very_much_is_told_in_part() -> None:
    told = foresee({}, {"Env": [f"{'N' * 1000}{n}=1" for n in range(MOST_CHANGES * 2)]}, ()).changes
    assert len(told) == MOST_CHANGES + 1
    assert told[-1] == "and more"
    assert max(map(len, told)) <= 300
