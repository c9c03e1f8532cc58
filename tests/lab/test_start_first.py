"""On real engines, behind a proxy that finds containers by their network alias: no request fails while one takes the other's place."""

from pathlib import Path

import pytest

from fleet.updates.command import UpdateOrder
from fleet.updates.outcome import Result
from tests.lab.behind_proxy import BehindProxy
from tests.lab.engines import Generation
from tests.lab.lab import Lab
from tests.lab.registries import DockerRegistry

ROUNDS = 3


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "generation",
    [
        pytest.param(each, marks=() if each is Generation.V26_CONTAINERD else pytest.mark.full)
        for each in (Generation.V20, Generation.V26_CONTAINERD, Generation.V29)
    ],
)
def test_a_client_of_the_proxy_sees_no_failure(
    generation: Generation, lab: Lab, origin: DockerRegistry, tmp_path: Path
) -> None:
    """And the same client does see some where the old one is stopped first: it can."""
    generation.need()
    host = lab.host(f"proxied-{generation.replace('.', '-')}", generation)
    scene = BehindProxy(host, origin, tmp_path)
    for _ in range(ROUNDS):
        before = scene.engine.inspect("app-1")
        outcome, client = scene.update(UpdateOrder.START_FIRST)
        assert (outcome.result, outcome.reason, outcome.downtime_ms) == (Result.UPDATED, "", 0)
        after = scene.engine.inspect("app-1")
        assert before and after and before["Id"] != after["Id"]
        assert len(scene.engine.container_ids(all=True)) == 2
        assert client.answered > 40
        assert not client.failures
    outcome, client = scene.update(UpdateOrder.STOP_FIRST)
    assert outcome.result is Result.UPDATED
    assert client.failures
    scene.close()
