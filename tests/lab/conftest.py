"""Fixtures of the lab: one lab for all tests of a session, with an origin, and a host for each generation when it is asked for."""

from collections.abc import Callable, Iterator

import pytest

from tests import needs
from tests.lab.engines import Generation
from tests.lab.lab import Host, Lab
from tests.lab.registries import DockerRegistry

ONE_OF_EACH_STORE = [
    pytest.param(each, id=str(each), marks=() if each in (Generation.V20, Generation.V29) else pytest.mark.full)
    for each in Generation
]
"""For what an engine does by its image store, docker's own or containerd's, and not by its generation: the oldest with the one,
what most run today with the other. The rest is part of the long matrices."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that it may leave the loopback and can be left out."""
    for item in items:
        if "tests/lab/" in item.path.as_posix():
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Run one lab for the whole session; tests add machines to it under names of their own."""
    needs.lab()
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def origin(lab: Lab) -> DockerRegistry:
    """Start the registry that is Docker Hub in this lab."""
    return lab.origin()


@pytest.fixture(scope="session")
def host_of(lab: Lab, origin: DockerRegistry) -> Callable[[str], Host]:
    """Give a host of a generation, the same one to all tests of the session; it knows no mirrors."""

    def host(generation: str) -> Host:
        name = f"any-{generation.replace('.', '-')}"
        return lab.hosts[name] if name in lab.hosts else lab.host(name, generation)

    return host


@pytest.fixture(params=list(Generation))
def generation(request: pytest.FixtureRequest) -> Generation:
    """Give each generation in turn; one that is not installed is a skip, and a failure in CI."""
    found = Generation(request.param)
    found.need()
    return found


@pytest.fixture
def lab_engine(generation: Generation, host_of: Callable[[str], Host]) -> str:
    """Give the URL of an engine of each generation in turn, for the contract suite."""
    return host_of(generation).engine_url
