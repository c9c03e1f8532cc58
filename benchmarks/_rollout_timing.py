"""What a piece of work takes: processor time, time by the clock, and of the former what statements and commits took."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks._rollout_statements import Statements
from fleet.history.sql.database import Database

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What something took, in seconds."""

    cpu: float
    """Of processor time: of this process and, on PostgreSQL, of the server's."""
    wall: float
    statements: float
    """Of the processor time: within the driver, and the server's."""

    def __add__(self, other: "Took") -> "Took":
        """Return both together."""
        statements = self.statements + other.statements
        return Took(cpu=self.cpu + other.cpu, wall=self.wall + other.wall, statements=statements)

    def later(self, seconds: float) -> "Took":
        """Return the same with *seconds* of pure computing more."""
        return Took(cpu=self.cpu + seconds, wall=self.wall + seconds, statements=self.statements)

    def each(self, count: int) -> "Took":
        """Return the same for one of *count*."""
        return Took(cpu=self.cpu / count, wall=self.wall / count, statements=self.statements / count)

    def sql(self) -> "Took":
        """Return the statements and commits alone; by the clock they took their part of it, as far as that can be told."""
        part = self.statements / self.cpu
        return Took(cpu=self.statements, wall=self.wall * part, statements=self.statements)


_DRIVER = Statements()


def watch(db: Database) -> None:
    """Tell apart from now on what the driver of *db* takes."""
    _DRIVER.watch(db)


def _of_the_server(db: Database) -> float:
    if db.dialect == "sqlite":
        return 0.0  # it is this process
    with db.reading() as connection:
        pids = connection.exec_driver_sql("SELECT pid FROM pg_stat_activity").scalars().all()
    return sum(_taken(pid) for pid in pids)


def _taken(pid: int) -> float:
    with suppress(FileNotFoundError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return 0.0  # it has just ended


def timed(db: Database, work: Callable[[], T]) -> tuple[T, Took]:
    """Do *work*, and return what it returned and what it took."""
    server = _of_the_server(db)
    began, used, driver = time.perf_counter(), time.process_time(), _DRIVER.spent
    done = work()
    wall, mine, driver = time.perf_counter() - began, time.process_time() - used, _DRIVER.spent - driver
    server = _of_the_server(db) - server
    return done, Took(cpu=mine + server, wall=wall, statements=driver + server)
