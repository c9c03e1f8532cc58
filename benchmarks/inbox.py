"""How many outcomes a second the inbox takes, each signature proved, on SQLite and on PostgreSQL.

Every outcome belongs to a real order: hosts were offered it, claimed it, said ready and had their go. Both databases lie
in memory (PostgreSQL with fsync off), so that programs are compared and not disks. Needs root and the lab.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._sides import in_turn, show, show_run
from fleet.controller import inbox, plans
from fleet.history.inbox.taking import Good
from fleet.history.inventory import hosts
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from fleet.road.embedded import EmbeddedBroker
from fleet.road.keys import PublicKey
from fleet.road.messages import Go, Offer, Order
from tests.controller.centre import BY, DOOR, NEW, Centre, ScriptedHost, centre_of, nginx
from tests.lab.lab import Lab

ROUNDS = 4
HOSTS, CONTAINERS = 20, 50
IMAGE = "docker.io/library/nginx:1"
TURNS = 200


def main() -> None:
    """Fill the list of the inbox with the same outcomes for each database in turn, and print how fast it empties."""
    show_run(f"inbox: {HOSTS * CONTAINERS} outcomes of {HOSTS} hosts, 500 a transaction")
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="fb") as folder:
        server = lab.postgresql()
        numbers = iter(range(1000))

        def postgresql() -> float:
            name = f"round{next(numbers)}"
            server.ask(f"create database {name}")
            return _measured(server.url.removesuffix("/fleet") + f"/{name}", Path(folder) / name)

        def sqlite() -> float:
            name = f"round{next(numbers)}"
            return _measured(f"sqlite:///{lab.place.folder}/{name}.db", Path(folder) / name)

        sides: dict[str, Callable[[], float]] = {"SQLite": sqlite, "PostgreSQL": postgresql}
        sides["proved and read, written nowhere"] = lambda: _proved(Path(folder) / f"round{next(numbers)}")
        show("taken", "outcomes/s", in_turn(sides, ROUNDS))


def _measured(url: str, state: Path) -> float:
    with _waiting(url, state) as centre:
        began = time.perf_counter()
        taken = 0
        while found := centre.inbox.step():
            taken += found
        took = time.perf_counter() - began
        assert taken == HOSTS * CONTAINERS, taken
        return taken / took


def _proved(state: Path) -> float:
    with _waiting(f"sqlite:///{state}.db", state) as centre:
        raw = centre.reader.peek(HOSTS * CONTAINERS)
        owners = {host.key.kid: (host.id.hex, host.key.public) for host in centre.hosts}

        def owner(kid: str) -> tuple[str, PublicKey] | None:
            return owners.get(kid)

        began = time.perf_counter()
        good = [each for each in inbox.prove(raw, owner, centre.db.now()) if isinstance(each, Good)]
        took = time.perf_counter() - began
        assert len(good) == HOSTS * CONTAINERS
        return len(good) / took


@contextmanager
def _waiting(url: str, state: Path) -> Iterator[Centre]:
    """Begin a centre in whose inbox the outcomes wait."""
    state.mkdir(parents=True)
    upgrade(url)
    db = Database.open(url)
    with EmbeddedBroker(state / "b") as broker, centre_of(db, broker.address, state) as centre:
        for number in range(HOSTS):
            host = centre.add_host(f"host-{number}")
            host.snapshot(*(nginx(f"web-{n}") for n in range(CONTAINERS)))
        centre.turn()
        tags.record_resolved(db, IMAGE, NEW, "https://registry-1.docker.io")
        for row in hosts.hosts(db):
            plans.update(db, row.name, None, by=BY, door=DOOR)
        outcomes = _carried_out(centre)
        for host, order in outcomes:
            for outcome in host.outcomes(order):
                host.say(outcome)
        yield centre
    db.close()


def _carried_out(centre: Centre) -> list[tuple[ScriptedHost, Order]]:
    """Go the road with every host until each has its go."""
    orders: dict[ScriptedHost, Order] = {}
    gone: set[ScriptedHost] = set()
    for _ in range(TURNS):
        centre.turn()
        for host in centre.hosts:
            for opened in host.hear(0.01):
                match opened.message:
                    case Offer(command=command):
                        host.claim(command)
                    case Order() as order:
                        orders[host] = order
                        host.ready(order)
                    case Go():
                        gone.add(host)
        if len(gone) == HOSTS:
            return list(orders.items())
    raise RuntimeError(f"only {len(gone)} hosts had their go")


if __name__ == "__main__":
    main()
