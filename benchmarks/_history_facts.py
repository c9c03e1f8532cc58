"""A history as it may lie there after a year, made from a seed: written past the product, as fast as each database takes it.

The distributions: each container keeps its image, images by Zipf's law; seven updates of ten at night; one in 16 goes wrong;
pulls of log-normal size and speed, three of four by a mirror, one mirror that is dead in one pull of five. Durations
are log-normal around what the lab's engines took (docs/benchmarks.md).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate, islice
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Table, text
from sqlalchemy.schema import CreateIndex

from fleet.history.database import Database
from fleet.history.days import close_days
from fleet.history.fact_tables import attempts, pulls, updates
from fleet.history.inventory_tables import container_digests, containers, hosts
from fleet.history.partitions import lowest_id, partitions
from fleet.history.rollout_tables import rollouts

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
CHUNK = 20_000

Row = Sequence[str | int | None]
"""The values of a row in the order of its table's columns, as both databases take them in text."""


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
    _write(db, hosts, _in_order(hosts, _hosts(fleet)))
    _write(db, rollouts, _in_order(rollouts, _rollouts(fleet)))
    facts = _Facts(fleet, Random(seed))
    with _without_indexes(db, (updates, pulls, attempts)):
        rows = facts.rows(count)
        while chunk := list(islice(rows, CHUNK)):
            _write(db, updates, (update for update, _, _ in chunk))
            _write(db, pulls, (pull for _, pull, _ in chunk if pull))
            _write(db, attempts, (each for _, _, tried in chunk for each in tried))
    there = list(_containers(facts))
    _write(db, containers, _in_order(containers, (row for row, _ in there)))
    _write(db, container_digests, _in_order(container_digests, (row for _, row in there)))
    with db.writing() as connection:
        connection.execute(text("ANALYZE"))
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
    for index in gone:
        with db.writing() as connection:
            if db.dialect == "postgresql":
                connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
            connection.execute(CreateIndex(index))


class _Facts:
    """What happened, update by update, and what each container runs in the end."""

    def __init__(self, fleet: Fleet, random: Random) -> None:
        self.fleet = fleet
        self.random = random
        weights = list(accumulate(1 / (rank + 1) for rank in range(len(fleet.images))))
        self.images = [
            [random.choices(fleet.images, cum_weights=weights)[0] for _ in range(CONTAINERS)] for _ in fleet.hosts
        ]
        self.runs: dict[tuple[int, int], tuple[str, str]] = {}
        """Container id and digest, by the place of its host and its own number."""
        self._digests: dict[tuple[str, int], tuple[str, str]] = {}
        self._create, self._stop, self._start, self._verify = (self._pool(mean, 0.8) for mean in (3, 6, 5, 8))
        self._pulling, self._bytes, self._late = self._pool(8.5, 1), self._pool(17.5, 1.3), self._pool(3, 1.2)

    def rows(self, count: int) -> Iterator[tuple[Row, Row | None, list[Row]]]:
        """Yield updates, each with its pull and its attempts."""
        random, begin = self.random, self.fleet.now - timedelta(days=DAYS)
        step = timedelta(days=DAYS) / count
        for number in range(count):
            at = begin + step * number
            if at.hour > 6 and random.random() < 0.7:
                at = at.replace(hour=random.randrange(6))
            yield self._facts(at, (at - self.fleet.now).days + DAYS)

    def _facts(self, at: datetime, day: int) -> tuple[Row, Row | None, list[Row]]:
        random = self.random
        place, number = random.randrange(len(self.fleet.hosts)), random.randrange(CONTAINERS)
        host, image = self.fleet.hosts[place].hex, self.images[place][number]
        (old, old_image), (new, new_image) = self._digest_of(image, day - 9), self._digest_of(image, day)
        before, _ = self.runs.get((place, number), ("", ""))
        id, command = self._id(at), self._id(at)
        result = "updated" if random.random() < 0.9 else random.choice(("skipped", "already_current", *_WRONG, *_WRONG))
        if made := f"{random.getrandbits(256):064x}" if result == "updated" else "":
            self.runs[place, number] = made, new
        went_wrong = result in _WRONG
        pulled = self._id(at) if random.random() < 0.9 else None
        mirror = random.choices(_SERVED, cum_weights=(60, 75, 100))[0] if pulled else ""
        asked = (
            "schedule:nightly" if random.random() < 0.8 else random.choice(("person:anna", "person:ben", "token:ci"))
        )
        late = timedelta(seconds=min(self._one(self._late), 7200))
        told, stop, start, pull_ms = (
            _time(at + late),
            self._one(self._stop),
            self._one(self._start),
            self._one(self._pulling),
        )
        update: Row = (
            id, command, self.fleet.rollouts[max(0, min(day, DAYS - 1))].hex, host, pulled, asked, f"app-{number}",
            image, image.rpartition(":")[0], result, random.choice(REASONS) if went_wrong else "",
            old, new, old_image, new_image, before, made, mirror, "[]",
            pull_ms, self._one(self._create), stop, start, self._one(self._verify),
            stop if result == "rolled_back" else None, stop + start, _time(at), told,
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
            return [(pull, 0, host, mirror, role, "served", "", 200, size, 6, 0, 20, took, "[]", 1, told)]
        result = self.random.choice(("unreachable", "breaker_open"))
        why = "cannot connect: connection refused"
        return [
            (pull, 0, host, MIRRORS[2], "mirror", result, why, 0, 0, 1, 1, None, 0, "[]", 0, told),
            (pull, 1, host, mirror, role, "served", "", 200, size, 6, 0, 20, took, "[]", 1, told),
        ]

    def _digest_of(self, image: str, day: int) -> tuple[str, str]:
        found = self._digests.get((image, day))
        if found is None:
            digest = self.fleet.digest(image, day)
            found = self._digests[image, day] = digest, _digest(f"image {digest}")
        return found

    def _pool(self, mean: float, spread: float) -> list[int]:
        return [int(self.random.lognormvariate(mean, spread)) for _ in range(1 << _POOL_BITS)]

    def _one(self, pool: list[int]) -> int:
        return pool[self.random.getrandbits(_POOL_BITS)]

    def _id(self, at: datetime) -> str:
        return f"{int(at.timestamp() * 1000):012x}7{self.random.getrandbits(12):03x}8{self.random.getrandbits(60):015x}"


_POOL_BITS = 12
_WRONG = ("failed", "rolled_back")
_SERVED = (*MIRRORS[:2], ORIGIN)


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


def _containers(facts: _Facts) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    now = _time(facts.fleet.now)
    for place, host in enumerate(facts.fleet.hosts):
        for number, image in enumerate(facts.images[place]):
            # One of a hundred was made by a person since: no update made it.
            id, digest = facts.runs.get((place, number), ("", facts.fleet.digest(image, DAYS)))
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
    kinds = {"JSON": "{}", "ITEMS": "[]", "INTEGER": 0, "BIGINT": 0, "BOOLEAN": 0}
    return {c.name: None if c.nullable else kinds.get(str(c.type).split("(")[0], "") for c in table.columns}


def _make_partitions(db: Database, now: datetime) -> None:
    for month in range(DAYS // 30 + 2):
        partitions(replace(db, clock=Then(now - timedelta(days=30 * month))))


def _in_order(table: Table, rows: Iterable[dict[str, Any]]) -> Iterator[Row]:
    names = [column.name for column in table.columns]
    return ([row[name] for name in names] for row in rows)


def _write(db: Database, table: Table, rows: Iterable[Row]) -> None:
    quoted = ", ".join(f'"{column.name}"' for column in table.columns)
    if db.dialect == "postgresql":
        target = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with ExitStack() as stack:
            # What is measured afterwards waits for the disk; what is only made for it need not.
            connection = stack.enter_context(
                psycopg.connect(target, options="-c TimeZone=UTC -c synchronous_commit=off")
            )
            copy = stack.enter_context(
                stack.enter_context(connection.cursor()).copy(f"COPY {table.name} ({quoted}) FROM STDIN")
            )
            copy.write("".join("\t".join([r"\N" if v is None else str(v) for v in row]) + "\n" for row in rows))
        return
    marks = ", ".join("?" * len(table.columns))
    with closing(sqlite3.connect(str(db.engine.url.database))) as plain, plain:
        plain.execute("PRAGMA synchronous=OFF")
        plain.executemany(f"INSERT INTO {table.name} ({quoted}) VALUES ({marks})", rows)


def _time(at: datetime) -> str:
    """Return an instant as SQLAlchemy writes it into SQLite, and as PostgreSQL reads it where the zone is UTC."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _digest(what: str) -> str:
    return f"sha256:{sha256(what.encode()).hexdigest()}"


def _id(random: Random, at: datetime) -> UUID:
    return UUID(int=lowest_id(at).int | 0x7 << 76 | 0x8 << 60 | random.getrandbits(60))
