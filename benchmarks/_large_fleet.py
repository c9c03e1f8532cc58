"""A large fleet beside a year of history: its hosts, what runs on them, their tags, and their looks at mirrors."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

from sqlalchemy import func, insert, select

from benchmarks import _history_facts as facts
from benchmarks._history_load import load, tidy
from fleet.history.inventory.container_moves import gather
from fleet.history.noted.counting import Tally
from fleet.history.sql.database import Database
from fleet.history.tables.counters import host_updates
from fleet.history.tables.facts import attempts, mirror_probes, pulls, updates
from fleet.history.tables.inventory import container_digests, container_moves, containers, tags
from fleet.history.tables.mirrors import mirror_tests

SEED = 7
LOOKS = 8
"""Looks of a host at each mirror within two days: one each six hours."""
COUNTED = 20_000
"""So many facts are counted, as the inbox would have: all that is different among them is."""


def fill(db: Database, count: int, each: int, updates_count: int) -> None:
    """Write *count* hosts of *each* containers, a year of history, what tags resolve to, and two days of looks at mirrors."""
    now, random = datetime.now(UTC), Random(SEED)
    fleet = facts.Fleet(
        now=now,
        hosts=tuple(facts._id(random, now - timedelta(days=facts.DAYS + 1)) for _ in range(count)),
        images=tuple(f"{'docker.io/library' if n % 3 else 'ghcr.io/acme'}/app-{n}:{1 + n % 4}" for n in range(60)),
        rollouts=tuple(facts._id(random, now - timedelta(days=facts.DAYS - n)) for n in range(facts.DAYS)),
    )
    facts.fill(db, fleet, updates_count, SEED)
    load(db, tags, facts._in_order(tags, _tags(fleet)))
    more = list(_more_containers(fleet, each, random))
    load(db, containers, facts._in_order(containers, (row for row, _ in more)))
    load(db, container_digests, facts._in_order(container_digests, (row for _, row in more)))
    looks = list(_looks(fleet, random))
    load(db, mirror_tests, facts._in_order(mirror_tests, (test for test, _ in looks)))
    load(db, mirror_probes, facts._in_order(mirror_probes, (probe for _, found in looks for probe in found)))
    with db.writing() as connection:
        gather(connection)
    _count(db)
    tidy(db, (containers, container_digests, container_moves, mirror_tests, mirror_probes, host_updates))


def _tags(fleet: facts.Fleet) -> Iterator[dict[str, object]]:
    for image in fleet.images:
        digest = fleet.digest(image, facts.DAYS)
        yield facts._empty(tags) | {"image": image, "digest": digest, "resolved_at": facts._time(fleet.now)}


def _more_containers(
    fleet: facts.Fleet, each: int, random: Random
) -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    now = facts._time(fleet.now)
    for host in fleet.hosts:
        for number in range(facts.CONTAINERS, each):
            image = random.choice(fleet.images)
            id = sha256(f"{host} {number}".encode()).hexdigest()
            digest = fleet.digest(image, facts.DAYS - random.randrange(12))
            row = facts._empty(containers) | {
                "host_id": host.hex,
                "id": id,
                "name": f"app-{number}",
                "reference": image,
                "image": image,
                "digests": f'["{digest}"]',
                "state": "running" if number % 10 else "exited",
                "first_seen_at": now,
                "seen_at": now,
            }
            yield row, {"host_id": host.hex, "container_id": id, "digest": digest}


def _looks(fleet: facts.Fleet, random: Random) -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
    """Yield what each host was asked for, with what it found."""
    for look in range(LOOKS):
        at = fleet.now - timedelta(hours=6 * (LOOKS - look) - 1)
        asked = {"asked_by": "schedule", "asked_at": facts._time(at), "answered_at": facts._time(at)}
        for host in fleet.hosts:
            test = facts._id(random, at).hex
            found = [_probe(facts._id(random, at).hex, host.hex, test, mirror, at, random) for mirror in facts.MIRRORS]
            yield facts._empty(mirror_tests) | {"id": test, "host_id": host.hex} | asked, found


def _probe(id: str, host: str, test: str, mirror: str, at: datetime, random: Random) -> dict[str, object]:
    return facts._empty(mirror_probes) | {
        "id": id,
        "host_id": host,
        "test_id": test,
        "mirror": mirror,
        "registry": "docker.io",
        "ok": 1,
        "state": "ok" if random.random() < 0.98 else "down",
        "duration_ms": random.randrange(5, 80),
        "recorded_at": facts._time(at),
        "tls_not_after": facts._time(at + timedelta(days=60)),
    }


def _count(db: Database) -> None:
    """Count what stands in the history: by hosts all of it, and of the rest enough to have every series."""
    with db.writing() as connection:
        by_host = select(updates.c.host_id, updates.c.result, func.count()).group_by(
            updates.c.host_id, updates.c.result
        )
        connection.execute(insert(host_updates).from_select(["host_id", "result", "count"], by_host))
        tally = Tally()
        tally.add_updates(_newest(connection.execute(select(updates).order_by(updates.c.id.desc()).limit(COUNTED))))
        pulled = _newest(connection.execute(select(pulls).order_by(pulls.c.id.desc()).limit(COUNTED)))
        tried = select(attempts).order_by(attempts.c.pull_id.desc()).limit(COUNTED)
        tally.add_pulls(pulled, _newest(connection.execute(tried)))
        tally.of_hosts.clear()
        tally.write(connection)


def _newest(result: object) -> list[dict[str, object]]:
    return [dict(row) for row in result.mappings()]  # type: ignore[attr-defined]
