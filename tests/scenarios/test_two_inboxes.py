"""Two inboxes that are started at once lose nothing: one works, the other one waits for its end."""

from pathlib import Path

from fleet.clock import SystemClock
from fleet.road.envelope import CENTRE, seal
from fleet.road.join import JoinFile
from fleet.road.messages import Heartbeat, HostFacts
from fleet.road.names import inbox_key
from fleet.road.up import Uplink
from tests.lab.centre import FLEET
from tests.lab.machines import eventually
from tests.scenarios.small_fleet import PATIENCE_S, SmallFleet

MESSAGES = 600
"""A hundred and twenty batches, as these inboxes are set."""


def speak(join: Path, count: int) -> None:
    """Say *count* heartbeats as the host of a join file."""
    found, clock = JoinFile.read(join), SystemClock()
    uplink = Uplink(found.broker, found.host_id)
    for _ in range(count):
        message = Heartbeat(
            facts=HostFacts(agent_version="1"), snapshot_hash="", outcomes_waiting=0, host_time=clock.now()
        )
        uplink.send(seal(message, key=found.key, issuer=found.host_id, audience=CENTRE, clock=clock))
    uplink.close()


def test_lose_nothing(fleet: SmallFleet, tmp_path: Path) -> None:
    """They begin on a full list at the same moment, and the one that works is killed amid it."""
    centre, join = fleet.centre, tmp_path / "ghost.join"
    centre.fleet("host", "add", "ghost", "--out", join)
    ghost = JoinFile.read(join).host_id

    def taken() -> int:
        return int(fleet.database.ask(f"select count(*) from messages where host_id = '{ghost}'"))

    centre.stop()
    speak(join, MESSAGES)
    assert int(fleet.redis.ask("LLEN", inbox_key(ghost))) == MESSAGES
    fast = {"FLEET_INBOX_BATCH": "5"}
    both = [
        centre.machine.start(f"inbox-{n}", *FLEET, "controller", "--only", "inbox", environment=fast) for n in (1, 2)
    ]
    eventually("the first messages", taken, within_s=PATIENCE_S, every_s=0.01)
    working = next(one for one in both if "inbox reads" in one.tail(1000))
    working.kill()
    assert 0 < taken() < MESSAGES
    (other,) = [one for one in both if one is not working]
    eventually("every message", lambda: taken() == MESSAGES, within_s=PATIENCE_S, every_s=0.5)
    eventually("an empty list", lambda: int(fleet.redis.ask("LLEN", inbox_key(ghost))) == 0, within_s=PATIENCE_S)
    assert "inbox reads" in other.tail(1000)
    assert fleet.database.ask(f"select count(*) from refused where host_id is null or host_id = '{ghost}'") == "0"
    other.stop()
    centre.fleet("host", "rm", "ghost", "--yes", check=False)
    centre.start()
