"""What engines answer is read as it is meant, also where they leave something out or say null."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.engine.answers import event_of, facts_of, pull_event_of
from fleet.errors import EngineError


def test_facts_are_those_of_info() -> None:
    told = facts_of(
        {
            "ID": "AB:CD",
            "Name": "oak",
            "ServerVersion": "29.0.0",
            "OSType": "linux",
            "Architecture": "x86_64",
            "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"], ["odd"]],
            "RegistryConfig": {
                "Mirrors": ["https://mirror.lan/"],
                "InsecureRegistryCIDRs": ["127.0.0.0/8"],
                "IndexConfigs": {"docker.io": {"Secure": True}, "old.lan:5000": {"Secure": False}, "new.lan": {}},
            },
        },
        "1.52",
    )
    assert (told.id, told.name, told.version, told.api_version) == ("AB:CD", "oak", "29.0.0", "1.52")
    assert (told.os, told.architecture, told.containerd_store) == ("linux", "amd64", True)
    assert told.mirrors == ("https://mirror.lan/",)
    assert told.insecure_registries == ("127.0.0.0/8", "old.lan:5000")


@pytest.mark.parametrize("nothing", [{}, dict.fromkeys(("ID", "Name", "DriverStatus", "RegistryConfig", "OSType"))])
def test_an_engine_that_says_nothing_is_one_of_which_nothing_is_known(nothing: dict[str, Any]) -> None:
    told = facts_of(nothing, "1.41")
    assert (told.id, told.name, told.version, told.os, told.containerd_store) == ("", "", "", "linux", False)
    assert (told.mirrors, told.insecure_registries) == ((), ())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"error": "manifest unknown"}, "manifest unknown"),
        ({"errorDetail": {"message": "toomanyrequests"}}, "toomanyrequests"),
        ({"errorDetail": None}, "no reason was given"),
    ],
)
def test_a_line_that_tells_of_an_error_is_one(line: dict[str, Any], reason: str) -> None:
    with pytest.raises(EngineError, match=f"^cannot pull app:1: {reason}$"):
        pull_event_of("app:1", line)


def test_a_line_tells_how_far_a_layer_is() -> None:
    told = pull_event_of("app:1", {"id": "abc", "status": "Downloading", "progressDetail": {"current": 3, "total": 7}})
    assert (told.layer, told.status, told.current, told.total) == ("abc", "Downloading", 3, 7)
    told = pull_event_of("app:1", {"status": "Digest: sha256:1", "progressDetail": None})
    assert (told.layer, told.status, told.current, told.total) == ("", "Digest: sha256:1", None, None)


def test_an_event_tells_what_befell_whom_and_when() -> None:
    actor = {"ID": "abc", "Attributes": {"name": "web", "exitCode": 0}}
    told = event_of({"Type": "container", "Action": "die", "Actor": actor, "time": 1, "timeNano": 1_500_000_000})
    assert (told.kind, told.action, told.id, told.name) == ("container", "die", "abc", "web")
    assert told.attributes == {"name": "web", "exitCode": "0"}
    assert told.at == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    told = event_of({"time": 2, "Actor": None})
    assert (told.kind, told.action, told.id, told.name, told.at.second) == ("", "", "", "", 2)
