"""Which containers a policy lets be updated."""

from typing import Any

import pytest

from fleet.errors import BadInput
from fleet.rollouts.policy import read_policy
from fleet.rollouts.selection import Selection

IMAGE = "docker.io/library/nginx:1"
ON, OFF = {"fleet.enable": "true"}, {"fleet.enable": "false"}
ALIAS = "com.centurylinklabs.watchtower."


@pytest.mark.parametrize(
    ("document", "labels", "reason"),
    [
        ({}, {}, ""),
        ({"only_enabled": True}, ON, ""),
        ({"only_enabled": True}, {ALIAS + "enable": "True"}, ""),
        ({"only_enabled": True}, {}, "enable=true"),
        ({"only_enabled": True}, OFF, "enable=true"),
        ({"scopes": ["prod"]}, {"fleet.scope": "prod"}, ""),
        ({"scopes": ["prod"]}, {ALIAS + "scope": "prod"}, ""),
        ({"scopes": ["prod"]}, {"fleet.scope": "test"}, "its scope test is not"),
        ({"scopes": ["prod"]}, {}, "in no scope"),
        ({"scopes": ["none"]}, {}, ""),
        ({"scopes": ["none"]}, {"fleet.scope": "prod"}, "its scope prod"),
        ({"include": {"names": ["w*", "db"]}}, {}, ""),
        ({"include": {"names": ["db"]}}, {}, "does not include it by name"),
        ({"include": {"names": ["web"], "images": ["redis"]}}, {}, "does not include it by image"),
        ({"include": {"images": ["nginx:*"]}}, {}, ""),
        ({"include": {"labels": {"com.docker.compose.project": "sh*"}}}, {"com.docker.compose.project": "shop"}, ""),
        ({"include": {"labels": {"com.docker.compose.project": "sh*"}}}, {}, "does not include it by label"),
        ({"exclude": {"names": ["web"]}}, ON, "excludes it by name"),
        ({"exclude": {"images": ["nginx"]}}, {}, "excludes it by image"),
        ({"exclude": {"labels": {"fleet.enable": "*"}}}, ON, "excludes it by label"),
        ({"exclude": {"names": ["db"]}}, {}, ""),
        ({"monitor_only": True}, {}, "monitor_only"),
        ({"monitor_only": True}, {"fleet.monitor-only": "false"}, "monitor_only"),
        ({"monitor_only": True, "labels_win": True}, {"fleet.monitor-only": "false"}, ""),
    ],
)
def test_a_container_is_left_out_with_the_reason(document: dict[str, Any], labels: dict[str, str], reason: str) -> None:
    told = Selection.parse(document).leaves_out("web", IMAGE, labels)
    assert bool(told) == bool(reason)
    assert reason in told


@pytest.mark.parametrize("document", [{"scope": "x"}, {"include": {"name": []}}, {"scopes": 3}])
def test_a_selection_that_cannot_be_used_is_refused_with_the_policy(document: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"cannot use policy: fleet: select\."):
        read_policy({"select": document}, "policy: fleet")
