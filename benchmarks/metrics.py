"""What /metrics costs: processor time, series and bytes of each part, in a large fleet beside a year of history.

    .venv/bin/python benchmarks/metrics.py [--hosts 10000] [--containers 30] [--facts 300000] [--kinds sqlite postgresql] [--write]

Times are processor time, the database server's included: medians of 5. With --kept FOLDER the filled databases stay there for the
next run. --write puts the table into its section of docs/benchmarks.md.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from benchmarks._large_fleet import fill
from benchmarks._page import write_section
from benchmarks.history import _folder, _spent, database
from fleet.controller.metric import Part, series_of
from fleet.controller.metrics import Kept, Metrics
from fleet.history.sql.database import Database
from fleet.settings.centre import CentreSettings
from fleet.web.exposition import TextFormat, Written, text_of

T = TypeVar("T")
BEGIN, END = "<!-- metrics: written by benchmarks/metrics.py -->", "<!-- metrics: end -->"
RUNS = 5


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
                    fill(db, given.hosts, given.containers, given.facts)
                (folder / "filled").touch()
            with database(kind, folder) as db:
                for line in _measured(kind, db):
                    print(line, flush=True)
                    lines.append(line)
    if given.write:
        write_section(BEGIN, END, "\n".join(lines))


def _measured(kind: str, db: Database) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = CentreSettings.read(state_dir=Path(folder), broker={"url": f"unix://{folder}/none.sock"})
        metrics = Metrics(db, settings)
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
