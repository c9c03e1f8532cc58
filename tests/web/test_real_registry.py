"""A real registry (distribution's docker-registry) says at a receiver what was pushed to it, and that is checked."""

import contextlib
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fleet.controller.resolving import Asking
from fleet.history.registries import pushes, tags
from fleet.history.tables.pushes import pushes as table
from fleet.registry.credentials import NoCredentials
from fleet.testing.images import build_image
from fleet.web.doors import Behind, Door
from fleet.web.process import Server, config_of, port_socket
from tests.controller.centre import OLD, Centre, nginx
from tests.history.world import rows
from tests.testing.test_registry_contract import APP, LAYER, start_distribution
from tests.web.test_routes import API

PATIENCE_S = 150.0

pytestmark = pytest.mark.redis


def test_a_push_to_a_real_registry_is_checked_at_once(
    app: Behind, http: TestClient, centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes, "GATHERED", pushes.GATHERED * 0)
    monkeypatch.setattr(pushes, "APART", pushes.APART * 0)
    made = http.post(f"{API}/receivers", json={"name": "reg"}).json()
    with ExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(port_socket("127.0.0.1:0")))
        served = Server(config_of(Behind(app.app, Door.PORT)))
        serving = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
        serving.start()
        stack.callback(serving.join, PATIENCE_S)
        stack.callback(setattr, served, "should_exit", True)
        endpoint = {
            "name": "fleet",
            "url": f"http://127.0.0.1:{listening.getsockname()[1]}{made['receiver']['path']}",
            "headers": {"Authorization": [f"Bearer {made['secret']}"]},
            "timeout": "5s",
            "threshold": 5,
            "backoff": "1s",
            "ignore": {"actions": ["pull", "mount"]},
        }
        registry = start_distribution(tmp_path, stack, notifications={"endpoints": [endpoint]})
        image = f"{registry.url.partition('://')[2]}/{APP}:1"
        host = centre.add_host("web-1")
        host.snapshot(replace(nginx(), reference=image))
        centre.turn()
        tags.record_resolved(centre.db, image, OLD, "https://x")
        built = build_image([LAYER])
        registry.push(built, "1")
        ends = time.monotonic() + PATIENCE_S
        while not rows(centre.db, table):
            assert time.monotonic() < ends, http.get(f"{API}/receivers").json()
            time.sleep(0.02)
        assert [row["image"] for row in rows(centre.db, table)] == [image]
        centre.planner._ways = replace(centre.planner._ways, asking=Asking(credentials=NoCredentials()))
        centre.planner.tick()
    found = tags.tag(centre.db, image)
    assert found is not None
    assert found.digest == str(built.digest)
    (shown,) = http.get(f"{API}/receivers").json()["receivers"]
    assert shown["last_heard"] == f"distribution: {image}"
