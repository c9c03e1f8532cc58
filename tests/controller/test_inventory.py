"""Hosts come and go, in SQL and on the broker, and the broker follows SQL whatever happens to it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.controller import inventory
from fleet.controller.reconciler import Reconciled
from fleet.errors import BadInput, BrokerUnreachable, NotFound, Refused
from fleet.history.inventory import hosts
from fleet.history.sql.database import Database
from fleet.road.acl import AclKeeper, HostLogin
from fleet.road.broker import BrokerAddress
from fleet.road.down import broker_errors
from fleet.road.embedded import EmbeddedBroker
from fleet.road.keys import SigningKey
from fleet.settings.centre import CentreSettings
from tests import needs
from tests.controller.centre import BY, DOOR, Centre
from tests.memory import memory

pytestmark = pytest.mark.redis

HASH = "0" * 64


def test_an_added_host_may_speak_at_once(centre: Centre) -> None:
    centre.add_host("web-1").heartbeat()
    assert centre.reader.length() == 1


def test_a_name_is_taken_once(centre: Centre) -> None:
    centre.add_host("web-1")
    with pytest.raises(Refused, match=r"^cannot .*web-1"):
        centre.add_host("web-1")
    assert len(hosts.hosts(centre.db)) == 1


@pytest.mark.parametrize("bad", ["", "0" * 63, "G" * 64, "secret" * 12])
def test_what_is_no_password_hash_is_refused(bad: str, centre: Centre) -> None:
    key = str(SigningKey.generate().public)
    with pytest.raises(BadInput, match="SHA-256"):
        inventory.add_host(
            centre.db, centre.broker, name="x", labels={}, public_key=key, password_sha256=bad, by=BY, door=DOOR
        )


def test_a_private_key_is_never_taken(centre: Centre) -> None:
    key = SigningKey.generate().private_text()
    with pytest.raises(BadInput, match="private key"):
        inventory.add_host(
            centre.db, centre.broker, name="x", labels={}, public_key=key, password_sha256=HASH, by=BY, door=DOOR
        )


def test_a_removed_host_is_cut_off_at_once(centre: Centre) -> None:
    host = centre.add_host("web-1")
    host.heartbeat()
    inventory.remove_host(centre.db, centre.broker, "web-1", by=BY, door=DOOR)
    with pytest.raises(BrokerUnreachable):
        host.heartbeat()


def test_a_host_that_there_is_not_cannot_be_removed(centre: Centre) -> None:
    with pytest.raises(NotFound, match=r"^cannot find"):
        inventory.remove_host(centre.db, centre.broker, "web-9", by=BY, door=DOOR)


def test_a_host_is_added_while_the_broker_is_away_and_let_in_later(
    db: Database, away: BrokerAddress, centre: Centre
) -> None:
    key = str(SigningKey.generate().public)
    inventory.add_host(db, away, name="x", labels={}, public_key=key, password_sha256=HASH, by=BY, door=DOOR)
    assert centre.reconciler.reconcile() == Reconciled(restored=1)
    assert centre.reconciler.reconcile() == Reconciled()


def test_a_broker_that_restarts_without_users_is_made_whole_by_the_next_tick(
    centre: Centre, broker: EmbeddedBroker
) -> None:
    host = centre.add_host("web-1")
    centre.planner.tick()
    broker.stop()
    broker.start()
    with pytest.raises(BrokerUnreachable):
        host.heartbeat()
    centre.planner.tick()
    host.heartbeat()


def test_a_user_without_a_host_is_dropped(centre: Centre) -> None:
    stranger = HostLogin(host_id="e" * 32, password_sha256=HASH)
    keeper = AclKeeper(centre.broker)
    keeper.apply([stranger])
    assert centre.reconciler.reconcile() == Reconciled(dropped=1)
    assert keeper.strangers([]) == []
    keeper.close()


def test_a_user_whose_rights_were_widened_is_set_back(centre: Centre) -> None:
    host = centre.add_host("web-1")
    client = centre.broker.client()
    client.execute_command("ACL SETUSER", f"host-{host.id.hex}", "+@all", "~*")  # type: ignore[no-untyped-call]
    assert centre.reconciler.reconcile().restored == 1
    with pytest.raises(BrokerUnreachable), broker_errors(host.broker), host.broker.client() as theirs:
        theirs.flushall()
    client.close()


def test_join_files_say_what_hosts_need(centre: Centre) -> None:
    facts = inventory.join_facts(centre.settings)
    assert (facts.broker.url, facts.broker.password, facts.plaintext) == (centre.broker.url, "", False)
    assert [key.kid for key in facts.centre_keys] == [centre.key.kid]


def test_before_the_planner_nobody_can_join(tmp_path: Path) -> None:
    settings = CentreSettings.read(state_dir=tmp_path, broker={"url": "redis://127.0.0.1:1/0"})
    with pytest.raises(Refused, match="planner has not started"):
        inventory.join_facts(settings)


@pytest.fixture
def away() -> Iterator[BrokerAddress]:
    """Return the address of a broker that has ended."""
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=memory()) as folder:
        with EmbeddedBroker(Path(folder) / "broker", server=needs.redis()) as broker:
            address = broker.address
        yield address
