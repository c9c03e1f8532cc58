"""Watchtower's options, shown and taken over over a real server."""

import json
import tomllib
from pathlib import Path

import pytest

from fleet.mirrors.policy import parse_mirrors
from fleet.rollouts.policy import read_policy
from tests.cli.conftest import Fleet


def test_nothing_is_changed_without_apply(fleet: Fleet) -> None:
    """Not even a server is asked."""
    shown = fleet(
        "import", "watchtower", "--", "--cleanup", "--interval", "300", "--notification-url", "smtp://x:geheim@y"
    )
    assert shown.code == 0
    assert "remove_old_image" in shown.out
    assert "*/5 * * * *" in shown.out
    assert "geheim" not in shown.out + shown.err
    assert "fleet notify add NAME --url-file FILE" in shown.out
    assert "nothing was changed" in shown.err


def test_json_says_what_became_of_each(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "w.env"
    file.write_text("WATCHTOWER_LABEL_ENABLE=true\nWATCHTOWER_STRANGE=1\n")
    told = json.loads(fleet("-o", "json", "import", "watchtower", "--env-file", str(file)).out)
    assert told["policy"] == {"select": {"only_enabled": True}}
    fates = {each["option"]: each["fate"] for each in told["options"]}
    assert (fates["WATCHTOWER_LABEL_ENABLE"], fates["WATCHTOWER_STRANGE"]) == ("policy", "unknown")


@pytest.mark.usefixtures("served")
def test_apply_writes_the_policy_beside_what_is_there_and_makes_the_schedule(fleet: Fleet, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"verify": {"settle_ms": 1}}')
    assert fleet("policy", "apply", "-f", str(policy)).code == 0
    inspect = tmp_path / "w.json"
    inspect.write_text(
        json.dumps([{"Config": {"Env": ["WATCHTOWER_SCOPE=prod", "TZ=Europe/Rome"], "Cmd": ["--cleanup"]}}])
    )
    written = fleet("import", "watchtower", "--inspect", str(inspect), "--apply")
    assert written.code == 0, written.err
    (document,) = [each["document"] for each in json.loads(fleet("-o", "json", "policy", "show").out)["policies"]]
    expected = {"verify": {"settle_ms": 1}, "remove_old_image": True, "select": {"scopes": ["prod"]}}
    assert document == expected
    schedule = json.loads(fleet("-o", "json", "schedule", "show", "watchtower").out)["schedule"]
    assert (schedule["cron"], schedule["zone"], schedule["action"]) == ("0 4 * * *", "Europe/Rome", "apply")
    again = fleet("import", "watchtower", "--inspect", str(inspect), "--apply")
    assert again.code == 6
    assert "is taken" in again.err


def test_what_would_be_lost_keeps_it_from_being_applied(fleet: Fleet) -> None:
    refused = fleet("import", "watchtower", "--apply", "--", "--cooldown-delay", "soon")
    assert refused.code == 6
    assert "cannot apply it: --cooldown-delay would be lost" in refused.err


def test_the_map_that_stops_the_daemon_becomes_a_policy(fleet: Fleet, tmp_path: Path) -> None:
    """It can be applied as it is printed, and what it stops is said."""
    file = tmp_path / "daemon.json"
    file.write_text(
        json.dumps(
            {
                "debug": True,
                "registries": {"ghcr.io": ["https://art.lan/artifactory/api/docker/ghcr"]},
                "registry-mirrors": ["https://m.lan"],
                "insecure-registries": ["m.lan"],
            }
        )
    )
    shown = fleet("import", "mirrors", str(file))
    assert shown.code == 1
    assert "no Docker daemon knows that key" in shown.err
    assert read_policy(tomllib.loads(shown.out), "policy").mirrors == parse_mirrors(
        [
            {"for": "ghcr.io", "url": "https://art.lan/artifactory/api/docker/ghcr"},
            {"for": "*", "url": "https://m.lan", "insecure": True},
        ]
    )


def test_files_of_containerd_and_podman_become_a_policy(fleet: Fleet, tmp_path: Path) -> None:
    """A hosts.toml is about the registry of its folder."""
    toml = tmp_path / "docker.io" / "hosts.toml"
    toml.parent.mkdir()
    toml.write_text('[host."https://harbor.lan/v2/hub"]\noverride_path = true\ncapabilities = ["pull", "resolve"]')
    conf = tmp_path / "registries.conf"
    conf.write_text('[[registry]]\nlocation = "quay.io"\n[[registry.mirror]]\nlocation = "harbor.lan/quay"')
    told = json.loads(fleet("-o", "json", "import", "mirrors", str(toml), str(conf)).out)
    assert told["problems"] == []
    assert [(m["for"], m["url"], m.get("resolve", False)) for m in told["policy"]["mirrors"]] == [
        ("docker.io", "https://harbor.lan/v2/hub", True),
        ("quay.io", "https://harbor.lan/quay", False),
    ]


def test_what_a_policy_cannot_say_is_told(fleet: Fleet, tmp_path: Path) -> None:
    """Each in a line of its own."""
    conf = tmp_path / "registries.conf"
    conf.write_text('[[registry]]\nlocation = "quay.io"\n[[registry.mirror]]\nlocation = "m.lan"\ninsecure = true')
    shown = fleet("import", "mirrors", str(conf))
    assert (shown.code, "in plain http" in shown.err) == (1, True)
    assert 'url = "https://m.lan"' in shown.out
