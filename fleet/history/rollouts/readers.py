"""What of hosts decides about the messages that are sent to them: which versions they read, and whether any is sent at all."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Connection, Text, cast, select

from fleet.history.rules.refusing import refused
from fleet.history.sql.among import among
from fleet.history.sql.json_text import of_json
from fleet.history.tables.inventory import hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One host that reads what the centre sends."""

    reads: tuple[int, ...]
    """The versions of messages that it reads, as its last heartbeat told."""
    refused: bool
    """Whether nothing is sent to it; :func:`fleet.history.rules.refusing.refusals` says why."""


def readers(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Reader]:
    """Return those of these hosts that are there."""
    if not ids:
        return {}
    # As text: hosts tell of the same few lists, and each is read once.
    query = select(hosts.c.id, cast(hosts.c.reads, Text), refused())
    return {
        id: _reader(text, bool(none))
        for id, text, none in connection.execute(query.where(among(connection, hosts.c.id, ids)))
    }


@lru_cache(maxsize=256)
def _reader(text: str, refused: bool) -> Reader:
    return Reader(reads=tuple(of_json(text)), refused=refused)
