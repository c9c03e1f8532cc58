"""What telling Home Assistant costs in a large fleet: messages, bytes, processor time and memory.

    .venv/bin/python benchmarks/home.py [--hosts 10000] [--containers 10] [--kept FOLDER]

A filled database (SQLite) and a Mosquitto of its own that keeps what stands there. Told are: the first connection to an empty
broker, looks where nothing changed, a tag that moved for all who follow it, and another connection to a broker that kept all. Times
are processor time of the process, the broker's not included. With --kept FOLDER the filled database stays there for the next run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks._large_fleet import fill
from fleet.controller.home import Home, place_of
from fleet.controller.process import keep_what_is_there
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from fleet.mqtt.entities import ONLINE
from fleet.mqtt.link import Link
from fleet.settings.centre import CentreSettings
from tests.mqtt.brokers import Mosquitto, mosquitto

FACTS = 20_000
LOOKS = 5


class Counted(Link):
    """A connection that counts what it sends."""

    messages = 0
    sent_bytes = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Send it."""
        self.messages += 1
        self.sent_bytes += len(topic) + len(payload)
        super().publish(topic, payload)


class Look:
    """One connection, whose looks come when they are asked for."""

    def __init__(self, db: Database, settings: CentreSettings) -> None:
        """Connect."""
        place = place_of(settings)
        self.link = Counted(settings.mqtt.address(), place, lambda: None)
        self.link.connect()
        self.link.publish(place.status, ONLINE)
        self._home = Home(db, self.link, settings)

    def tell(self) -> None:
        """Look, and tell all that is due."""
        self._home._looked = float("-inf")
        while self._home.step():
            pass


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--containers", type=int, default=10)
    parser.add_argument("--kept", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-home-") as here:
        folder = given.kept or Path(here)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            closing(_filled(folder / "fleet.db", given.hosts, given.containers)) as db,
            mosquitto(Path(here), keeps=True) as broker,
        ):
            keep_what_is_there()
            _measure(db, broker, Path(here))


def _filled(file: Path, hosts: int, containers: int) -> Database:
    url = f"sqlite:///{file}"
    if not file.exists():
        upgrade(url)
        with closing(Database.open(url)) as db:
            fill(db, hosts, containers, FACTS)
    return Database.open(url)


def _measure(db: Database, broker: Mosquitto, state: Path) -> None:
    settings = CentreSettings.read(state_dir=state, mqtt={"url": broker.url, "every_s": 5.0})
    with _connected(db, settings) as look:
        _told("first connection", look, look.tell)
        _told(f"a look without a change (of {LOOKS})", look, look.tell, LOOKS)
        (image, *_) = sorted(tags.tags(db))
        tags.record_resolved(db, image, f"sha256:{'9' * 64}", "https://registry.example")
        _told(f"{image} moved", look, look.tell)
    with _connected(db, settings) as look:
        _told("another connection", look, look.tell)


@contextmanager
def _connected(db: Database, settings: CentreSettings) -> Iterator[Look]:
    look = Look(db, settings)
    try:
        yield look
    finally:
        look.link.close()


def _told(what: str, look: Look, work: Callable[[], object], times: int = 1) -> None:
    messages, sent, began, cpu = look.link.messages, look.link.sent_bytes, time.monotonic(), time.process_time()
    for _ in range(times):
        work()
    cpu, took = (time.process_time() - cpu) / times, (time.monotonic() - began) / times
    messages, sent = look.link.messages - messages, look.link.sent_bytes - sent
    print(
        f"{what}: {messages:,} messages, {sent / 1e6:.1f} MB, {cpu:.2f} s of processor time, {took:.1f} s, {_memory()} MiB"
    )


def _memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (resident,) = [line for line in lines if line.startswith("VmRSS")]
    return int(resident.split()[1]) // 1024


if __name__ == "__main__":
    main()
