"""Which agents have spoken as a host: each start of one is a life of its own, and one that is over never speaks again.

So a life that is still heard well after its successor began proves that two agents run at once: a machine was cloned, or
one identity is used in two places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from fleet.history.sql.upsert import update_rows
from fleet.history.tables.inventory import hosts

MOST_LIVES = 8
"""How many lives of one host are remembered: so many machines that take turns are seen."""
ECHO = timedelta(minutes=3)
"""How long after its end a life may still be heard: what its machine could not send it goes on to try, for a while after
the process is gone (two minutes between two tries at most)."""


@dataclass(slots=True, kw_only=True)
class Lives:
    """The lives of one host's agent."""

    known: tuple[str, ...]
    """In hex, the present one last."""
    since: datetime | None
    """When the present one was first heard."""
    rivals_at: datetime | None
    """Since when two are known to live at once."""
    touched: bool = False

    def hear(self, life: UUID | None, now: datetime) -> bool:
        """Note that *life* spoke; tell whether it may move commands: the present one, while it has no rival.

        None, of an agent that tells of no life, may as long as nobody does.
        """
        if life is None:
            return not self.known
        if life.hex not in self.known:
            self.known, self.since, self.touched = (*self.known, life.hex)[-MOST_LIVES:], now, True
        elif life.hex != self.known[-1]:
            if self.rivals_at is None and self.since is not None and now > self.since + ECHO:
                self.rivals_at, self.touched = now, True
            return False
        return self.rivals_at is None


_COLUMNS = {"lives": "known", "life_since": "since", "rivals_at": "rivals_at"}


LIVES = (hosts.c.lives, hosts.c.life_since, hosts.c.rivals_at)
"""The columns that tell of the agents of one host, in the order of :class:`Lives`."""


def save_lives(connection: Connection, lives: Mapping[UUID, Lives]) -> None:
    """Write back those that changed."""
    rows = [
        {"id": id} | {column: getattr(each, name) for column, name in _COLUMNS.items()}
        for id, each in sorted(lives.items())
        if each.touched
    ]
    update_rows(connection, hosts, rows, ("id",), tuple(_COLUMNS))
