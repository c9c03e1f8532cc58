"""The agent of the machine that ``fleet up`` runs on: whatever of it is lost, the machine stays the same host."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.agent.identity import Identity
from fleet.cli.local import LocalAgent
from fleet.client import Client, ServerAddress
from fleet.errors import Unreachable
from fleet.history.inventory import hosts
from fleet.road.join import JoinFile
from fleet.road.up import lets_in
from tests.controller.centre import Centre

pytestmark = pytest.mark.redis


@pytest.fixture
def client(served: Path) -> Iterator[Client]:
    """Speak over the socket, as fleet up does."""
    with Client(ServerAddress.parse(str(served))) as client:
        yield client


@pytest.fixture
def local(centre: Centre) -> LocalAgent:
    """The machine's agent, not started."""
    return LocalAgent(centre.settings, centre.broker, "desk", "", {}, lambda: None)


def test_while_the_centre_does_not_listen_nobody_is_told_to_start_one(centre: Centre) -> None:
    told: list[str] = []
    local = LocalAgent(centre.settings, centre.broker, "desk", "", {}, lambda: told.append("it listens"))
    with pytest.raises(Unreachable, match=r"the web process does not listen so far$"):
        local.start()
    assert not told


def state(centre: Centre) -> Path:
    """Return where its agent keeps what must survive."""
    folder = centre.settings.state_dir / "agent"
    folder.mkdir(exist_ok=True)
    return folder


def joined(centre: Centre) -> JoinFile:
    """Return its join file."""
    return JoinFile.read(centre.settings.state_dir / "host.join")


def met(centre: Centre) -> JoinFile:
    """Let the agent have met the centre: its identity is its own."""
    return Identity(state(centre), joined(centre)).take()


def test_at_the_first_start_it_is_added(centre: Centre, client: Client, local: LocalAgent) -> None:
    local.join(client)
    assert [row.name for row in hosts.hosts(centre.db)] == ["desk"]
    assert lets_in(joined(centre).broker)


def test_a_start_that_finds_everything_changes_nothing(centre: Centre, client: Client, local: LocalAgent) -> None:
    local.join(client)
    met(centre)
    before = joined(centre).text()
    local.join(client)
    assert joined(centre).text() == before


@pytest.mark.parametrize("lost", ["agent", "host.join", "both"])
def test_what_was_lost_is_made_anew_and_the_host_is_the_same(
    centre: Centre, client: Client, local: LocalAgent, lost: str
) -> None:
    local.join(client)
    met(centre)
    before = joined(centre)
    if lost != "host.join":
        shutil.rmtree(state(centre))
    if lost != "agent":
        (centre.settings.state_dir / "host.join").unlink()
    local.join(client)
    assert [row.id.hex for row in hosts.hosts(centre.db)] == [before.host_id]
    assert joined(centre).key.kid != before.key.kid
    assert lets_in(joined(centre).broker)
    # What the agent still has of its own belongs to the old file, so that it begins anew.
    assert not Identity(state(centre), joined(centre)).own


def test_a_host_that_was_removed_is_added_again(centre: Centre, client: Client, local: LocalAgent) -> None:
    local.join(client)
    met(centre)
    first = joined(centre).host_id
    hosts.remove_host(centre.db, "desk", by="person:test", door="test")
    local.join(client)
    assert [row.id.hex for row in hosts.hosts(centre.db)] == [joined(centre).host_id]
    assert joined(centre).host_id != first
