"""Real engines get an image from a mirror behind a login and a proxy that the policy names, and nobody else learns of either."""

from collections.abc import Callable

import pytest

from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.named_site import Site
from tests.lab.registries import DockerRegistry
from tests.lab.test_pull import left_over, pull

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site(lab: Lab, origin: DockerRegistry) -> Site:
    """Start the mirrors and the proxy."""
    return Site.start(lab, "named")


@pytest.mark.parametrize("engine", [Generation.V20, Generation.V26_CONTAINERD])
def test_a_mirror_behind_a_login_and_a_proxy_serves(
    engine: Generation, host_of: Callable[[str], Host], origin: DockerRegistry, site: Site
) -> None:
    """All bytes are told of as that mirror's, by its own log too; the login is read by it alone, and the proxy's by the proxy."""
    engine.need()
    host, name = host_of(engine), f"named-{engine.replace('.', '-')}"
    repository = f"library/{name}"
    digest = origin.push(repository, "1", Recipe(version=name, layers_mib=(1.5,), shares=name))
    site.introduce(lambda path, text: host.machine.write(f"/etc/fleet/{path}", text).chmod(0o600))
    told = pull(host, f"{name}:1", digest, mirrors=site.policy())
    outcome = told["outcome"]
    assert outcome["ok"], outcome["reason"]
    assert told["image"]["RepoDigests"] == [f"{name}@{digest}"]
    assert not left_over(told)
    by_source = {each["source"]: each["bytes"] for each in outcome["attempts"]}
    assert [each["result"] for each in outcome["attempts"]] == ["unauthorized", "served", "unused"]
    assert by_source[site.vault.url] == outcome["bytes"] == site.sent(repository) > 1_500_000
    assert site.sent_past_the_proxy(host.machine, repository) == 0
    assert not any(row.place.repository == repository for row in origin.asked("blobs", client=host.address))
    site.check_secrets()
