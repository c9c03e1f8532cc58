"""The lab itself: each engine is what it is called, and pulls from where it is told."""

from collections.abc import Callable, Iterator
from contextlib import closing

import docker
import pytest

from tests.lab.conftest import ONE_OF_EACH_STORE
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import DockerRegistry, ScriptableRegistry

_NEWEST_API = {"20.10": "1.41", "26.1": "1.45", "26.1-containerd": "1.45", "29": "1.5"}


@pytest.fixture
def host(generation: Generation, host_of: Callable[[str], Host]) -> Host:
    """Give a host of each generation in turn."""
    return host_of(generation)


@pytest.fixture(scope="module")
def cache(lab: Lab, origin: DockerRegistry) -> DockerRegistry:
    """Start a pull-through cache of the origin."""
    return lab.cache("cache")


@pytest.fixture(scope="module")
def lying(lab: Lab, origin: DockerRegistry) -> ScriptableRegistry:
    """Start a mirror that serves wrong bytes."""
    return lab.lying("lying")


@pytest.fixture
def reconfigured(host: Host) -> Iterator[Host]:
    """Give a host whose daemon.json may be changed by the test."""
    yield host
    host.configure({})
    host.restart()


def test_an_engine_is_of_the_generation_that_it_is_called(generation: Generation, host: Host) -> None:
    """API version, image store and host name are those that the tests rely on."""
    facts = host.facts()
    assert facts["ApiVersion"].startswith(_NEWEST_API[generation])
    assert facts["Name"] == host.name
    store = dict(facts["DriverStatus"] or []).get("driver-type", "")
    assert store.startswith("io.containerd.snapshotter") == generation.containerd_store


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_an_engine_pulls_from_the_origin_and_runs_the_image(
    generation: Generation, host: Host, origin: DockerRegistry
) -> None:
    """The origin answers as Docker Hub over TLS, and its own log has the bytes."""
    repository = f"library/plain-{generation.replace('.', '-')}"
    digest = origin.push(repository, "1", Recipe(version=generation, layers_mib=(0.5,), health="good"))
    with closing(docker.DockerClient(base_url=host.engine_url)) as client:
        image = client.images.pull(repository.removeprefix("library/"), tag="1")
        assert [name.partition("@")[2] for name in image.attrs["RepoDigests"]] == [str(digest)]
        container = client.containers.run(image, detach=True, name="plain")
        try:
            eventually("a healthy container", lambda: _health(client, "plain") == "healthy")
        finally:
            container.remove(force=True)
    assert origin.bytes_to(host.address, repository) > 512 * 1024


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_an_engine_pulls_from_the_mirror_of_its_daemon_json(
    generation: Generation, reconfigured: Host, origin: DockerRegistry, cache: DockerRegistry
) -> None:
    """With the cache in daemon.json every byte of a layer comes from it, and none from the origin."""
    host = reconfigured
    repository = f"library/cached-{generation.replace('.', '-')}"
    origin.push(repository, "1", Recipe(version=generation, layers_mib=(0.25,)))
    host.configure({"registry-mirrors": [cache.url], "insecure-registries": [cache.host]})
    host.restart()
    host.docker("pull", "--quiet", repository.removeprefix("library/") + ":1")
    assert cache.bytes_to(host.address, repository) > 256 * 1024
    assert origin.bytes_to(host.address, repository) == 0


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_a_killed_engine_leaves_its_containers_and_comes_back(host: Host, origin: DockerRegistry) -> None:
    """Killing dockerd is not a power cut: with live-restore off too, it comes back and knows its containers."""
    origin.push("library/survivor", "1", Recipe(version="survivor"))
    host.docker("run", "--detach", "--name", "survivor", "--restart", "always", "survivor:1")
    try:
        host.kill()
        assert not host.answers()
        host.start()
        host.ready()
        eventually("the container running again", lambda: "survivor" in host.docker("ps", "--format", "{{.Names}}"))
    finally:
        host.docker("rm", "--force", "survivor", check=False)


def test_a_paused_engine_answers_nothing_until_it_goes_on(host_of: Callable[[str], Host]) -> None:
    """A hanging engine is a fault of its own, other than a dead one."""
    host = host_of(Generation.V20)
    host.pause()
    try:
        assert not host.answers()
    finally:
        host.resume()
    eventually("an answer", host.answers)


def test_a_lying_mirror_serves_the_right_size_and_the_wrong_bytes(
    origin: DockerRegistry, lying: ScriptableRegistry
) -> None:
    """What makes it worse than a dead one: only a hash finds it out."""
    recipe = Recipe(version="lied-about", layers_mib=(0.1,))
    origin.push("library/lied-about", "1", recipe)
    found = lying.machine.run("busybox", "wget", "-qO-", f"{lying.url}/v2/library/lied-about/manifests/1").stdout
    layer = found.split('"digest": "')[-1].split('"')[0]
    command = f"busybox wget -qO- {lying.url}/v2/library/lied-about/blobs/{layer} | sha256sum"
    told = lying.machine.run("sh", "-c", command).stdout
    assert layer.startswith("sha256:") and told.split()[0] != layer.removeprefix("sha256:")


def test_a_pulled_cable_cuts_a_machine_off(lab: Lab, origin: DockerRegistry) -> None:
    """Its neighbours hear nothing, and nothing is refused: the packets are lost."""
    asker = lab.machine("asker")
    ask = ["timeout", "1", "bash", "-c", f"echo > /dev/tcp/{origin.machine.address}/{origin.port}"]

    def reaches() -> bool:
        return asker.run(*ask, check=False).returncode == 0

    eventually("the origin reachable", reaches)
    origin.machine.set_link(up=False)
    assert not reaches()
    origin.machine.set_link(up=True)
    eventually("the origin reachable again", reaches)


def _health(client: docker.DockerClient, name: str) -> str:
    return str(client.containers.get(name).attrs["State"].get("Health", {}).get("Status"))
