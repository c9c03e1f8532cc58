"""A history as it may lie there after a year, made from a seed: written past the product, as fast as each database takes it.

The distributions: each container keeps its image, images by Zipf's law; seven updates of ten at night; one in 16 goes wrong;
pulls of log-normal size and speed, three of four by a mirror, one mirror that is dead in one pull of five. Durations
are log-normal around what the lab's engines took (docs/benchmarks.md).
"""

from bisect import bisect
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate, islice
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, text

from benchmarks._history_load import Row, in_bulk, load, loading, make_indexes, tidy
from fleet.history.questions.days import close_days
from fleet.history.sql.columns import Items
from fleet.history.sql.database import Database
from fleet.history.tables.facts import attempts, pulls, updates
from fleet.history.tables.inventory import container_digests, containers, hosts
from fleet.history.tables.partitions import lowest_id, partitions
from fleet.history.tables.rollouts import rollouts

DAYS = 400
CONTAINERS = 8
MIRRORS = ("https://harbor.lan", "https://mirror.gcr.io", "http://old-mirror.lan:5000")
ORIGIN = "https://registry-1.docker.io"
REASONS = (
    "cannot verify it: unhealthy after 60 s (exit 1)",
    "cannot start it: port 80 is already allocated",
    "cannot pull it: every source failed; the last said 503",
    "cannot create it: no space left on device",
)
CHUNK = 5_000
PARTS = 4
"""Each part of the hosts has a history of its own, so that a process can make it; what is made does not depend on the machine."""
FACTS = (updates, pulls, attempts)


@dataclass(frozen=True, slots=True)
class Then:
    """A clock that stands."""

    at: datetime

    def now(self) -> datetime:
        """Return the instant."""
        return self.at

    def monotonic(self) -> float:
        """Return it in seconds."""
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Whose history it is."""

    now: datetime
    hosts: tuple[UUID, ...]
    images: tuple[str, ...]
    rollouts: tuple[UUID, ...]

    def digest(self, image: str, day: int) -> str:
        """Return the digest that *image* had on a day: each moves about once in nine days."""
        return _digest(f"{image} {(day + hash_of(image) % 9) // 9}")


def hash_of(what: str) -> int:
    """Return a number that stays the same for *what*."""
    return int.from_bytes(sha256(what.encode()).digest()[:4], "big")


def fleet_of(count: int, now: datetime, seed: int) -> Fleet:
    """Return a fleet that has *count* updates within the year."""
    random = Random(seed)
    size = min(2000, max(20, count // 400))
    return Fleet(
        now=now,
        hosts=tuple(_id(random, now - timedelta(days=DAYS + 1)) for _ in range(size)),
        images=tuple(f"{'docker.io/library' if n % 3 else 'ghcr.io/acme'}/app-{n}:{1 + n % 4}" for n in range(60)),
        rollouts=tuple(_id(random, now - timedelta(days=DAYS - n)) for n in range(DAYS)),
    )


def fill(db: Database, fleet: Fleet, count: int, seed: int) -> None:
    """Write *count* updates with their pulls and attempts, hosts and containers, and close the days."""
    _make_partitions(db, fleet.now)
    load(db, hosts, _in_order(hosts, _hosts(fleet)))
    load(db, rollouts, _in_order(rollouts, _rollouts(fleet)))
    runs: Runs = {}
    with _without_indexes(db, FACTS), _made(db, fleet, count, seed, runs) as chunks, loading(db) as write:
        for chunk in chunks:
            for table, rows in zip(FACTS, chunk, strict=True):
                write(table, rows)
    there = list(_containers(fleet, Facts(fleet, seed).images, runs))
    load(db, containers, _in_order(containers, (row for row, _ in there)))
    load(db, container_digests, _in_order(container_digests, (row for _, row in there)))
    tidy(db, FACTS)
    close_days(replace(db, clock=Then(fleet.now)))
    with db.writing() as connection:
        connection.execute(text("ANALYZE"))


@contextmanager
def _without_indexes(db: Database, tables: Iterable[Table]) -> Iterator[None]:
    """Make the indexes of *tables* anew at the end, all at once: row by row takes several times as long."""
    gone = [index for table in tables for index in table.indexes]
    with db.writing() as connection:
        for index in gone:
            index.drop(connection)
    yield
    make_indexes(db, gone)


Runs = dict[tuple[int, int], tuple[str, str]]
"""Container id and digest, by the place of its host and its own number."""


@contextmanager
def _made(db: Database, fleet: Fleet, count: int, seed: int, runs: Runs) -> Iterator[Iterator[list[Any]]]:
    """Give the rows of each table, a chunk at a time, made by a process a part; in the end *runs* tells what runs."""
    with ExitStack() as stack:
        parts = []
        for part in range(PARTS):
            here, there = Pipe(duplex=False)
            maker = get_context("fork").Process(target=_make, args=(here, there, db.dialect, fleet, count, seed, part))
            maker.start()
            there.close()
            stack.callback(maker.join)
            parts.append(stack.enter_context(here))

        def chunks() -> Iterator[list[Any]]:
            while parts:
                for each in list(parts):
                    found = each.recv()
                    if isinstance(found, dict):
                        runs.update(found)
                        parts.remove(each)
                    else:
                        yield found

        yield chunks()


def _make(mine: Connection, pipe: Connection, dialect: str, fleet: Fleet, count: int, seed: int, part: int) -> None:
    mine.close()  # so that this process ends where nobody reads any more
    facts = Facts(fleet, seed, part)
    rows = facts.rows(count)
    while chunk := list(islice(rows, CHUNK)):
        pipe.send(
            [
                in_bulk(dialect, [update for update, _, _ in chunk]),
                in_bulk(dialect, [pull for _, pull, _ in chunk if pull]),
                in_bulk(dialect, [each for _, _, tried in chunk for each in tried]),
            ]
        )
    pipe.send(facts.runs)


class Facts:
    """What happened on one part of the hosts, update by update, and what each container runs in the end.

    Ten million rows are made: instants are numbers of microseconds here, and what Random would only pass on is asked directly.
    """

    def __init__(self, fleet: Fleet, seed: int, part: int = 0) -> None:
        self.fleet = fleet
        self.part = part
        self.random = random = Random(seed)
        weights = list(accumulate(1 / (rank + 1) for rank in range(len(fleet.images))))
        self.images = [
            [random.choices(fleet.images, cum_weights=weights)[0] for _ in range(CONTAINERS)] for _ in fleet.hosts
        ]
        self.runs: Runs = {}
        self._digests: dict[tuple[str, int], tuple[str, str]] = {}
        self._hosts, self._rollouts = [id.hex for id in fleet.hosts], [id.hex for id in fleet.rollouts]
        self._names = [f"app-{number}" for number in range(CONTAINERS)]
        self._repositories = {image: image.rpartition(":")[0] for image in fleet.images}
        self._dates: dict[int, str] = {}
        self._create, self._stop, self._start, self._verify = (self._pool(mean, 0.8) for mean in (3, 6, 5, 8))
        self._pulling, self._bytes, self._late = self._pool(8.5, 1), self._pool(17.5, 1.3), self._pool(3, 1.2)
        self._places = range(part, len(fleet.hosts), PARTS)
        self.random = Random(f"{seed} {part}")

    def rows(self, count: int) -> Iterator[tuple[Row, Row | None, list[Row]]]:
        """Yield updates, each with its pull and its attempts."""
        random, below, now = self.random.random, self._below, _micros(self.fleet.now)
        begin, step = now - DAYS * _DAY, timedelta(days=DAYS) / count // timedelta(microseconds=1)
        for number in range(self.part, count, PARTS):
            at = begin + step * number
            hour = at % _DAY // _HOUR
            if hour > 6 and random() < 0.7:
                at += (below(6) - hour) * _HOUR
            yield self._facts(at, (at - now) // _DAY + DAYS)

    def _facts(self, at: int, day: int) -> tuple[Row, Row | None, list[Row]]:
        random, below, bits = self.random.random, self._below, self.random.getrandbits
        place, number = self._places[below(len(self._places))], below(CONTAINERS)
        host, image = self._hosts[place], self.images[place][number]
        (old, old_image), (new, new_image) = self._digest_of(image, day - 9), self._digest_of(image, day)
        before, _ = self.runs.get((place, number), ("", ""))
        id, command = self._id(at), self._id(at)
        result = "updated" if random() < 0.9 else _ELSE[below(len(_ELSE))]
        if made := f"{bits(256):064x}" if result == "updated" else "":
            self.runs[place, number] = made, new
        went_wrong = result in _WRONG
        pulled = self._id(at) if random() < 0.9 else None
        mirror = _SERVED[bisect(_SHARES, random() * _SHARES[-1])] if pulled else ""
        asked = "schedule:nightly" if random() < 0.8 else _ASKERS[below(len(_ASKERS))]
        late = min(self._one(self._late), 7200)
        told, stop, start, pull_ms = (
            self._time(at + late * _SECOND),
            self._one(self._stop),
            self._one(self._start),
            self._one(self._pulling),
        )
        update: Row = (
            id, command, self._rollouts[max(0, min(day, DAYS - 1))], host, pulled, asked, self._names[number],
            image, self._repositories[image], result, REASONS[below(len(REASONS))] if went_wrong else "",
            old, new, old_image, new_image, before, made, mirror, "[]",
            pull_ms, self._one(self._create), stop, start, self._one(self._verify),
            stop if result == "rolled_back" else None, stop + start, self._time(at), told, 0,
        )  # fmt: skip
        if pulled is None:
            return update, None, []
        size = self._one(self._bytes)
        pull = (
            pulled, command, host, image, new, new_image, "loopback", "update", 1, "", mirror, size, pull_ms, told,
        )  # fmt: skip
        return update, pull, self._attempts(pulled, host, mirror, size, pull_ms, told)

    def _attempts(self, pull: str, host: str, mirror: str, size: int, took: int, told: str) -> list[Row]:
        role = "origin" if mirror == ORIGIN else "mirror"
        if self.random.random() >= 0.2:
            return [(pull, 0, host, mirror, role, "served", "", 200, size, 6, 0, 20, took, "[]", 1, told, None)]
        result = _DEAD[self._below(len(_DEAD))]
        why = "cannot connect: connection refused"
        return [
            (pull, 0, host, MIRRORS[2], "mirror", result, why, 0, 0, 1, 1, None, 0, "[]", 0, told, None),
            (pull, 1, host, mirror, role, "served", "", 200, size, 6, 0, 20, took, "[]", 1, told, None),
        ]

    def _digest_of(self, image: str, day: int) -> tuple[str, str]:
        found = self._digests.get((image, day))
        if found is None:
            digest = self.fleet.digest(image, day)
            found = self._digests[image, day] = digest, _digest(f"image {digest}")
        return found

    def _below(self, most: int) -> int:
        """Return a number from 0 to before *most*, the one that Random's own choice would be of."""
        bits, wide = self.random.getrandbits, most.bit_length()
        found = bits(wide)
        while found >= most:
            found = bits(wide)
        return found

    def _pool(self, mean: float, spread: float) -> list[int]:
        return [int(self.random.lognormvariate(mean, spread)) for _ in range(1 << _POOL_BITS)]

    def _one(self, pool: list[int]) -> int:
        return pool[self.random.getrandbits(_POOL_BITS)]

    def _id(self, at: int) -> str:
        bits = self.random.getrandbits
        return f"{int(at / _SECOND * 1000):012x}7{bits(12):03x}8{bits(60):015x}"

    def _time(self, at: int) -> str:
        """Return what :func:`_time` does of an instant."""
        day, rest = divmod(at, _DAY)
        date = self._dates.get(day)
        if date is None:
            date = self._dates[day] = f"{_EPOCH + timedelta(days=day):%Y-%m-%d}"
        seconds, micros = divmod(rest, _SECOND)
        return f"{date} {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micros:06d}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_HOUR, _DAY = 3600 * _SECOND, 86400 * _SECOND
_POOL_BITS = 12
_WRONG = ("failed", "rolled_back")
_ELSE = ("skipped", "already_current", *_WRONG, *_WRONG)
_ASKERS = ("person:anna", "person:ben", "token:ci")
_SERVED, _SHARES = (*MIRRORS[:2], ORIGIN), (60, 75, 100)
_DEAD = ("unreachable", "breaker_open")


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _hosts(fleet: Fleet) -> Iterator[dict[str, Any]]:
    now = _time(fleet.now)
    for number, id in enumerate(fleet.hosts):
        yield _empty(hosts) | {
            "id": id.hex,
            "name": f"host-{number}",
            "labels": '{"env": "prod"}' if number % 4 else '{"env": "test"}',
            "reads": "[1]",
            "created_at": now,
            "joined_at": now,
            "last_seen_at": now,
        }


def _rollouts(fleet: Fleet) -> Iterator[dict[str, Any]]:
    now = _time(fleet.now)
    for number, id in enumerate(fleet.rollouts):
        yield _empty(rollouts) | {
            "id": id.hex,
            "number": number + 1,
            "state": "completed",
            "asked_by": "schedule:nightly",
            "created_at": now,
            "ended_at": now,
        }


def _containers(fleet: Fleet, images: list[list[str]], runs: Runs) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    now = _time(fleet.now)
    for place, host in enumerate(fleet.hosts):
        for number, image in enumerate(images[place]):
            # One of a hundred was made by a person since: no update made it.
            id, digest = runs.get((place, number), ("", fleet.digest(image, DAYS)))
            if not id or (place + number) % 100 == 0:
                id = sha256(f"{host} {number}".encode()).hexdigest()
            yield (
                _empty(containers)
                | {
                    "host_id": host.hex,
                    "id": id,
                    "name": f"app-{number}",
                    "reference": image,
                    "image": image,
                    "digests": f'["{digest}"]',
                    "state": "running",
                    "first_seen_at": now,
                    "seen_at": now,
                },
                {"host_id": host.hex, "container_id": id, "digest": digest},
            )


def _empty(table: Table) -> dict[str, Any]:
    """Return a row in which nothing is said."""
    kinds = {"JSON": "{}", "INTEGER": 0, "BIGINT": 0, "BOOLEAN": 0}

    def nothing(column: Column[Any]) -> object:
        if column.nullable:
            return None
        return "[]" if isinstance(column.type, Items) else kinds.get(str(column.type).split("(")[0], "")

    return {column.name: nothing(column) for column in table.columns}


def _make_partitions(db: Database, now: datetime) -> None:
    for month in range(DAYS // 30 + 2):
        partitions(replace(db, clock=Then(now - timedelta(days=30 * month))))


def _in_order(table: Table, rows: Iterable[dict[str, Any]]) -> Iterator[Row]:
    names = [column.name for column in table.columns]
    return ([row[name] for name in names] for row in rows)


def _time(at: datetime) -> str:
    """Return an instant as SQLAlchemy writes it into SQLite, and as PostgreSQL reads it where the zone is UTC."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _digest(what: str) -> str:
    return f"sha256:{sha256(what.encode()).hexdigest()}"


def _id(random: Random, at: datetime) -> UUID:
    return UUID(int=lowest_id(at).int | 0x7 << 76 | 0x8 << 60 | random.getrandbits(60))
