"""What /metrics costs: processor time, series and bytes of each part, in a large fleet beside a year of history.

    .venv/bin/python benchmarks/metrics.py [--hosts 10000] [--containers 30] [--facts 300000] [--kinds sqlite postgresql] [--write]

Times are processor time, the database server's included: medians of 5. With --kept FOLDER the filled databases stay there for the
next run. --write puts the table into its section of docs/benchmarks.md.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TypeVar

from sqlalchemy import func, insert, select

from benchmarks import _history_facts as facts
from benchmarks._history_load import load, tidy
from benchmarks._page import write_section
from benchmarks.history import _folder, _spent, database
from fleet.controller.inventory_count import InventoryCount
from fleet.controller.metric import Part, series_of
from fleet.controller.metrics import Kept, Metrics
from fleet.history.counter_tables import host_updates
from fleet.history.counting import Tally
from fleet.history.database import Database
from fleet.history.fact_tables import attempts, mirror_probes, pulls, updates
from fleet.history.inventory_tables import container_digests, containers, tags
from fleet.history.measured_inventory import Inventory, measure_inventory
from fleet.settings.centre import CentreSettings
from fleet.web.exposition import TextFormat, Written, text_of

T = TypeVar("T")
BEGIN, END = "<!-- metrics: written by benchmarks/metrics.py -->", "<!-- metrics: end -->"
RUNS = 5
SEED = 7
LOOKS = 8
"""Looks of a host at each mirror within two days: one each six hours."""
COUNTED = 20_000
"""So many facts are counted, as the inbox would have: all that is different among them is."""


def main() -> None:
    """Fill each kind of database, and print what each part of the metrics takes."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--hosts", type=int, default=10_000)
    options.add_argument("--containers", type=int, default=30)
    options.add_argument("--facts", type=int, default=300_000)
    options.add_argument("--kinds", nargs="*", default=["sqlite", "postgresql"])
    options.add_argument("--kept", type=Path, help="Keep databases in this folder.")
    options.add_argument("--write", action="store_true", help="Put the table into docs/benchmarks.md.")
    given = options.parse_args()
    lines = [
        f"{given.hosts:,} hosts of {given.containers} containers, {given.facts:,} updates, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| Part | Database | Found in, ms | Written in, ms | Series | Bytes | As gzip |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for kind in given.kinds:
        with _folder(given.kept, f"metrics-{kind}-{given.hosts}-{given.facts}") as folder:
            if not (folder / "filled").exists():
                with database(kind, folder, quick=True) as db:
                    _fill(db, given.hosts, given.containers, given.facts)
                (folder / "filled").touch()
            with database(kind, folder) as db:
                for line in _measured(kind, db):
                    print(line, flush=True)
                    lines.append(line)
    if given.write:
        write_section(BEGIN, END, "\n".join(lines))


def _fill(db: Database, count: int, each: int, updates_count: int) -> None:
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
    load(db, mirror_probes, facts._in_order(mirror_probes, _probes(fleet, random)))
    _count(db)
    tidy(db, (containers, container_digests, mirror_probes, host_updates))


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


def _probes(fleet: facts.Fleet, random: Random) -> Iterator[dict[str, object]]:
    for look in range(LOOKS):
        at = fleet.now - timedelta(hours=6 * (LOOKS - look) - 1)
        for host in fleet.hosts:
            for mirror in facts.MIRRORS:
                yield facts._empty(mirror_probes) | {
                    "id": facts._id(random, at).hex,
                    "host_id": host.hex,
                    "mirror": mirror,
                    "registry": "docker.io",
                    "ok": 1,
                    "state": "ok" if random.random() < 0.98 else "down",
                    "duration_ms": random.randrange(5, 80),
                    "recorded_at": facts._time(at),
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


def _measured(kind: str, db: Database) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = CentreSettings.read(state_dir=Path(folder), broker={"url": f"unix://{folder}/none.sock"})
        metrics = Metrics(db, settings, inventory=_CountedAnew())
        found = {part: _timed(db, way) for part, way in metrics._ways.items()}
        kept = []
        for part, (ms, families) in found.items():
            written_ms, text = _timed(db, lambda families=families: text_of(families, TextFormat.PLAIN))  # type: ignore[misc]
            kept.append((part, Kept(families, 0, 0)))
            yield f"| {part} | {kind} | {ms:,.1f} | {written_ms:,.1f} | {series_of(families):,} | {len(text):,} | |"
        written = Written(_Kept(kept))  # type: ignore[arg-type]
        first_ms = _once(db, lambda: written.as_bytes(TextFormat.PLAIN, gzipped=True))
        again_ms, pressed = _timed(db, lambda: written.as_bytes(TextFormat.PLAIN, gzipped=True))
        yield f"| all, written and pressed once | {kind} | {first_ms:,.1f} | | | | {len(pressed):,} |"
        yield f"| all, read again | {kind} | {again_ms:,.2f} | | | | |"


class _CountedAnew(InventoryCount):
    """Keeps nothing."""

    def of(self, db: Database) -> Inventory:
        """Return the containers of the fleet."""
        return measure_inventory(db)


class _Kept:
    """Parts that were found already."""

    def __init__(self, kept: list[tuple[Part, Kept]]) -> None:
        self._kept = kept

    def parts(self) -> list[tuple[Part, Kept]]:
        """Return them."""
        return self._kept


def _once(db: Database, do: Callable[[], object]) -> float:
    spent = _spent(db)
    do()
    return (_spent(db) - spent) * 1000


def _timed(db: Database, do: Callable[[], T]) -> tuple[float, T]:
    found = do()
    return statistics.median(_once(db, do) for _ in range(RUNS)), found


if __name__ == "__main__":
    main()
