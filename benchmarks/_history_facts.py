"""A history as it may lie there after a year, made from a seed: written past the product, as fast as each database takes it.

The distributions: hosts of one fleet with 8 containers each; images by Zipf's law; nights busier than days; one update in
16 goes wrong; pulls of log-normal size and speed, three of four by a mirror, one mirror that is now and then dead.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate, islice
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Table, text

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
    _write(db, hosts, _hosts(fleet))
    _write(db, rollouts, _rollouts(fleet))
    _write(db, containers, (row for row, _ in _containers(fleet)))
    _write(db, container_digests, (row for _, row in _containers(fleet)))
    facts = _facts(fleet, count, Random(seed))
    while chunk := list(islice(facts, CHUNK)):
        _write(db, updates, (update for update, _, _ in chunk))
        _write(db, pulls, (pull for _, pull, _ in chunk if pull))
        _write(db, attempts, (each for _, _, tried in chunk for each in tried))
    close_days(replace(db, clock=Then(fleet.now)))
    with db.writing() as connection:
        connection.execute(text("ANALYZE"))


def _facts(
    fleet: Fleet, count: int, random: Random
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, list[dict[str, Any]]]]:
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(fleet.images))))
    step = timedelta(days=DAYS) / count
    for number in range(count):
        at = fleet.now - timedelta(days=DAYS) + step * number
        if at.hour > 6 and random.random() < 0.7:
            at = at.replace(hour=random.randrange(0, 6))
        day = (at - fleet.now).days + DAYS
        host = random.choice(fleet.hosts)
        image = random.choices(fleet.images, cum_weights=weights)[0]
        update = _update(fleet, random, at, day, host, image)
        pull = _pull(random, update) if random.random() < 0.9 else None
        update["pull_id"] = pull["id"] if pull else None
        update["mirror"] = pull["mirror"] if pull else ""
        yield update, pull, _attempts(random, pull) if pull else []


def _update(fleet: Fleet, random: Random, at: datetime, day: int, host: UUID, image: str) -> dict[str, Any]:
    roll = random.random()
    result = "updated" if roll < 0.9 else random.choice(("already_current", "skipped", "failed", "rolled_back"))
    went_wrong = result in ("failed", "rolled_back")
    took = [int(random.lognormvariate(mean, 0.8)) for mean in (3, 6, 5, 8)]
    return {
        "id": _id(random, at),
        "command_id": _id(random, at),
        "rollout_id": fleet.rollouts[max(0, min(day, DAYS - 1))],
        "host_id": host,
        "pull_id": None,
        "asked_by": "schedule:nightly"
        if random.random() < 0.8
        else random.choice(("person:anna", "person:ben", "token:ci")),
        "container": f"app-{random.randrange(CONTAINERS)}",
        "image": image,
        "repository": image.rpartition(":")[0],
        "result": result,
        "reason": random.choice(REASONS) if went_wrong else "",
        "old_digest": fleet.digest(image, day - 9),
        "new_digest": fleet.digest(image, day),
        "old_image_id": _digest(f"image {image} {day - 9}"),
        "new_image_id": _digest(f"image {image} {day}"),
        "old_container_id": f"{random.getrandbits(256):064x}",
        "new_container_id": f"{random.getrandbits(256):064x}",
        "mirror": "",
        "config_diff": [],
        "pull_ms": int(random.lognormvariate(8.5, 1)),
        "create_ms": took[0],
        "stop_ms": took[1],
        "start_ms": took[2],
        "verify_ms": took[3],
        "rollback_ms": took[1] if result == "rolled_back" else None,
        "downtime_ms": took[1] + took[2],
        "finished_at": at,
        "recorded_at": at + timedelta(seconds=min(random.lognormvariate(3, 1.2), 7200)),
    }


def _pull(random: Random, update: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _id(random, update["finished_at"]),
        "command_id": update["command_id"],
        "host_id": update["host_id"],
        "image": update["image"],
        "digest": update["new_digest"],
        "image_id": update["new_image_id"],
        "tier": "loopback",
        "purpose": "update",
        "ok": True,
        "reason": "",
        "mirror": random.choices((*MIRRORS[:2], ORIGIN), weights=(60, 15, 25))[0],
        "bytes": int(random.lognormvariate(17.5, 1.3)),
        "duration_ms": update["pull_ms"],
        "recorded_at": update["recorded_at"],
    }


def _attempts(random: Random, pull: dict[str, Any]) -> list[dict[str, Any]]:
    def tried(seq: int, mirror: str, result: str, bytes: int) -> dict[str, Any]:
        return {
            "pull_id": pull["id"],
            "seq": seq,
            "host_id": pull["host_id"],
            "mirror": mirror,
            "role": "origin" if mirror == ORIGIN else "mirror",
            "result": result,
            "reason": "" if bytes else "cannot connect: connection refused",
            "status": 200 if bytes else 0,
            "bytes": bytes,
            "requests": 6 if bytes else 1,
            "failures": 0 if bytes else 1,
            "first_byte_ms": 20 if bytes else None,
            "duration_ms": pull["duration_ms"] if bytes else 0,
            "resumed_at": [],
            "verified": bool(bytes),
            "recorded_at": pull["recorded_at"],
        }

    before = [tried(0, MIRRORS[2], random.choice(("unreachable", "breaker_open")), 0)] if random.random() < 0.2 else []
    return [*before, tried(len(before), pull["mirror"], "served", pull["bytes"])]


def _hosts(fleet: Fleet) -> Iterator[dict[str, Any]]:
    for number, id in enumerate(fleet.hosts):
        row: dict[str, Any] = {column.name: "" for column in hosts.columns}
        yield row | {
            "id": id,
            "name": f"host-{number}",
            "labels": {"env": "prod" if number % 4 else "test"},
            "reads": [1],
            "containerd_store": False,
            "problems": [],
            "mirrors": [],
            "outcomes_waiting": 0,
            "skew_ms": 0,
            "created_at": fleet.now,
            "joined_at": fleet.now,
            "last_seen_at": fleet.now,
            "removed_at": None,
        }


def _rollouts(fleet: Fleet) -> Iterator[dict[str, Any]]:
    for number, id in enumerate(fleet.rollouts):
        row: dict[str, Any] = {c.name: (None if c.nullable else _nothing(c)) for c in rollouts.columns}
        yield row | {
            "id": id,
            "number": number + 1,
            "state": "completed",
            "asked_by": "schedule:nightly",
            "created_at": fleet.now,
            "ended_at": fleet.now,
        }


def _containers(fleet: Fleet) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for host in fleet.hosts:
        for number in range(CONTAINERS):
            image = fleet.images[(hash_of(str(host)) + number) % len(fleet.images)]
            id, digest = sha256(f"{host} {number}".encode()).hexdigest(), fleet.digest(image, DAYS)
            row: dict[str, Any] = {column.name: "" for column in containers.columns}
            yield (
                row
                | {
                    "host_id": host,
                    "id": id,
                    "name": f"app-{number}",
                    "reference": image,
                    "image": image,
                    "digests": [digest],
                    "state": "running",
                    "labels": {},
                    "local_build": False,
                    "first_seen_at": fleet.now,
                    "seen_at": fleet.now,
                },
                {"host_id": host, "container_id": id, "digest": digest},
            )


def _nothing(column: Any) -> Any:
    kind = str(column.type).split("(")[0]
    return {"JSON": {}, "ITEMS": [], "INTEGER": 0, "BIGINT": 0, "BOOLEAN": False}.get(kind, "")


def _make_partitions(db: Database, now: datetime) -> None:
    for month in range(DAYS // 30 + 2):
        partitions(replace(db, clock=Then(now - timedelta(days=30 * month))))


def _write(db: Database, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    names = [column.name for column in table.columns]
    values = ([row[name] for name in names] for row in rows)
    quoted = ", ".join(f'"{name}"' for name in names)
    if db.dialect == "postgresql":
        target = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with (
            psycopg.connect(target) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({quoted}) FROM STDIN") as copy,
        ):
            for each in values:
                copy.write_row([json.dumps(v) if isinstance(v, dict | list) else v for v in each])
        return
    marks = ", ".join("?" * len(names))
    with closing(sqlite3.connect(str(db.engine.url.database))) as plain, plain:
        plain.execute("PRAGMA synchronous=OFF")
        plain.executemany(f"INSERT INTO {table.name} ({quoted}) VALUES ({marks})", (_plain(each) for each in values))


def _plain(row: Sequence[Any]) -> list[Any]:
    """Return a row as SQLAlchemy writes it into SQLite."""
    return [
        value.hex
        if isinstance(value, UUID)
        else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        if isinstance(value, datetime)
        else json.dumps(value)
        if isinstance(value, dict | list)
        else value
        for value in row
    ]


def _digest(what: str) -> str:
    return f"sha256:{sha256(what.encode()).hexdigest()}"


def _id(random: Random, at: datetime) -> UUID:
    return UUID(int=lowest_id(at).int | 0x7 << 76 | 0x8 << 60 | random.getrandbits(60))
