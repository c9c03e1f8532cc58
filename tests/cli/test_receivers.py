"""Receivers from the command line, and what a registry says at one over a real socket."""

import json
from pathlib import Path

import httpx2
import pytest

from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import OLD, Centre, ScriptedHost

pytestmark = [pytest.mark.usefixtures("served"), pytest.mark.redis]


def test_a_receiver_is_added_spoken_to_shown_and_removed(
    fleet: Fleet, served: Path, centre: Centre, web1: ScriptedHost
) -> None:
    tags.record_resolved(centre.db, "docker.io/library/nginx:1", OLD, "https://x")
    added = fleet("receiver", "add", "harbor", "--registry", "docker.io")
    assert (added.code, len(added.lines)) == (0, 2), added.err
    url, secret = (line.split()[1] for line in added.lines)
    assert "?secret=SECRET" in added.err
    body = {
        "type": "PUSH_ARTIFACT",
        "event_data": {"resources": [{"tag": "1", "resource_url": "harbor.lan/library/nginx:1"}]},
    }
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(served)), base_url="http://fleet") as registry:
        path = url.removeprefix("https://SERVER:PORT")
        said = registry.post(path, json=body, headers={"Authorization": secret})
        assert (said.status_code, said.json()["images"]) == (202, 1), said.text
        assert registry.post(path, json=body).status_code == 401
    shown = fleet("receiver", "ls", "-o", "wide")
    assert "harbor: docker.io/library/nginx:1" in shown.out
    assert path in shown.out
    act, made, *_ = json.loads(fleet("audit", "-o", "json").out)["acts"]
    assert (act["who"], act["action"], act["door"]) == ("receiver:harbor", "push heard", f"hook {act['door'][5:]}")
    assert (made["action"], secret in str(made)) == ("receiver add", False)
    assert fleet("receiver", "rm", "harbor", "-y").lines == ["receiver harbor removed"]
    assert fleet("receiver", "rm", "harbor", "-y").code == 5
    assert "fleet receiver add" in fleet("receiver", "ls").err
    assert fleet("receiver", "add", "x", "--registry", "http://y").code == 1
