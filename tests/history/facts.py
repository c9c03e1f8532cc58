"""Rows of the history as they may lie there after years: made from a seed, of any age, and without a road."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from fleet.history.inventory import hosts
from fleet.history.sql.database import Database
from fleet.history.tables.facts import FAILURES, attempts, pulls, updates
from fleet.history.tables.inventory import hosts as host_table
from fleet.history.tables.partitions import lowest_id
from fleet.history.tables.rollouts import rollouts
from fleet.history.tables.words import Purpose
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role
from fleet.rollouts.states import RolloutState
from fleet.updates.outcome import Result, Tier
from tests.history.world import BY, digest_of

HOSTS = ("web-1", "web-2", "edge_1", "db")
IMAGES = (
    "docker.io/library/nginx:1.27",
    "docker.io/library/nginx:1.28",
    "ghcr.io/acme/app:2",
    "docker.io/library/redis:7",
)
MIRRORS = ("", "https://harbor.lan", "https://registry-1.docker.io", "http://mirror_1.lan:5000")
CONTAINERS = ("app", "side_car", "db", "App")
ASKERS = ("person:anna", "schedule:nightly", "token:ci", "rollout:anna")
REASONS = ("", "cannot start it: port 80 is taken", "cannot reach 10% of_it", 'said "no"')
DIGESTS = tuple(digest_of(f"version {number}") for number in range(5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was written."""

    hosts: dict[str, UUID]
    rollouts: dict[int, UUID]
    updates: list[dict[str, Any]]


def write_facts(db: Database, count: int, *, seed: int, now: datetime, days: int = 10) -> Facts:
    """Write *count* updates with pulls and attempts, asked within *days* before *now*, each told within hours or days."""
    random = Random(seed)
    ids = {name: _host(db, name) for name in HOSTS}
    orders = {number: _id(random, now - timedelta(days=days)) for number in (1, 2, 41)}
    rows = [_update(random, ids, orders, now, days) for _ in range(count)]
    rows.sort(key=lambda row: row["recorded_at"])
    served = [_pull(random, row) for row in rows if row["pull_id"]]
    with db.writing() as connection:
        connection.execute(insert(rollouts), [_rollout(number, id, now) for number, id in orders.items()])
        connection.execute(insert(pulls), served)
        connection.execute(insert(attempts), [each for pull in served for each in _attempts(random, pull)])
        connection.execute(insert(updates), rows)
    return Facts(hosts=ids, rollouts=orders, updates=rows)


def new_update(random: Random, facts: Facts, now: datetime) -> dict[str, Any]:
    """Return one more update, asked just now."""
    return _update(random, facts.hosts, facts.rollouts, now, 0)


def insert_updates(db: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Write updates."""
    with db.writing() as connection:
        connection.execute(insert(updates), list(rows))


def _host(db: Database, name: str) -> UUID:
    with db.reading() as connection:
        there = connection.execute(host_table.select().where(host_table.c.name == name)).first()
    if there is not None:
        return UUID(str(there.id))
    return hosts.add_host(
        db, name=name, labels={}, public_key=f"key {name}", kid=f"kid {name}", password_sha256="aa", **BY
    ).id


def _rollout(number: int, id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "id": id,
        "number": number,
        "state": RolloutState.COMPLETED,
        "spec": {},
        "holds": [],
        "asked_by": ASKERS[0],
        "plan_id": None,
        "reason": "",
        "created_at": now,
        "started_at": now,
        "ended_at": now,
    }


def _update(
    random: Random, hosts: dict[str, UUID], orders: dict[int, UUID], now: datetime, days: int
) -> dict[str, Any]:
    asked = now - timedelta(seconds=random.uniform(0, days * 86400))
    late = timedelta(seconds=random.choice((1, 60, 3600, 90000)))
    image = random.choice(IMAGES)
    result = random.choice((*FAILURES, *[Result.UPDATED] * 4, Result.SKIPPED, Result.ALREADY_CURRENT))
    mirror = random.choice(MIRRORS)
    return {
        "id": _id(random, asked),
        "command_id": _id(random, asked),
        "rollout_id": random.choice(list(orders.values())),
        "host_id": random.choice(list(hosts.values())),
        "pull_id": _id(random, asked) if mirror else None,
        "asked_by": random.choice(ASKERS),
        "container": random.choice(CONTAINERS),
        "image": image,
        "repository": image.rpartition(":")[0],
        "result": result,
        "reason": random.choice(REASONS) if result in FAILURES else "",
        "old_digest": random.choice(DIGESTS),
        "new_digest": random.choice(DIGESTS),
        "old_image_id": "",
        "new_image_id": "",
        "old_container_id": "",
        "new_container_id": "",
        "mirror": mirror,
        "config_diff": [],
        "pull_ms": random.randrange(100, 90000) if mirror else None,
        "create_ms": random.randrange(5, 500),
        "stop_ms": random.randrange(5, 10000),
        "start_ms": random.randrange(5, 900),
        "verify_ms": random.randrange(5, 60000),
        "rollback_ms": None,
        "downtime_ms": random.randrange(5, 20000),
        "finished_at": asked,
        "recorded_at": min(asked + late, now),
    }


def _pull(random: Random, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["pull_id"],
        "command_id": row["command_id"],
        "host_id": row["host_id"],
        "image": row["image"],
        "digest": row["new_digest"],
        "image_id": "",
        "tier": Tier.LOOPBACK,
        "purpose": Purpose.UPDATE,
        "ok": True,
        "reason": "",
        "mirror": row["mirror"],
        "bytes": random.randrange(10**6, 10**9),
        "duration_ms": row["pull_ms"],
        "recorded_at": row["recorded_at"],
    }


def _attempts(random: Random, pull: dict[str, Any]) -> list[dict[str, Any]]:
    dead = _attempt(pull, 0, MIRRORS[3], random.choice((AttemptResult.TIMEOUT, AttemptResult.BREAKER_OPEN)), 0)
    if pull["mirror"] == MIRRORS[3] or random.random() < 0.5:
        return [_attempt(pull, 0, pull["mirror"], AttemptResult.SERVED, pull["bytes"])]
    return [dead, _attempt(pull, 1, pull["mirror"], AttemptResult.SERVED, pull["bytes"])]


def _attempt(pull: dict[str, Any], seq: int, mirror: str, result: AttemptResult, bytes: int) -> dict[str, Any]:
    return {
        "pull_id": pull["id"],
        "seq": seq,
        "host_id": pull["host_id"],
        "mirror": mirror,
        "role": Role.ORIGIN if mirror == MIRRORS[2] else Role.MIRROR,
        "result": result,
        "reason": "" if bytes else "cannot connect",
        "status": 200 if bytes else 0,
        "bytes": bytes,
        "requests": 3,
        "failures": 0 if bytes else 1,
        "first_byte_ms": 20 if bytes else None,
        "duration_ms": pull["duration_ms"] if bytes else 0,
        "resumed_at": [],
        "verified": bool(bytes),
        "recorded_at": pull["recorded_at"],
    }


def _id(random: Random, at: datetime) -> UUID:
    return UUID(int=lowest_id(at).int | 0x7 << 76 | 0x8 << 60 | random.getrandbits(60))
