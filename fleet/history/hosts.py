"""The hosts of the fleet: added, named, labelled, removed; their logins and keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fleet.history.database import Database

SILENT_AFTER = timedelta(minutes=15)
"""A host that was not heard of for so long counts as silent: three heartbeats missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One host, as the history knows it."""

    id: UUID
    name: str
    labels: dict[str, str]
    broker_password_sha256: str
    agent_version: str
    reads: tuple[int, ...]
    engine_id: str
    engine_name: str
    engine_version: str
    api_version: str
    os: str
    architecture: str
    containerd_store: bool
    problems: tuple[str, ...]
    mirrors: tuple[dict[str, Any], ...]
    """The host's own mirror rules, as documents of :class:`fleet.mirrors.source.MirrorRule`."""
    snapshot_hash: str
    outcomes_waiting: int
    skew_ms: int | None
    created_at: datetime
    joined_at: datetime | None
    last_seen_at: datetime | None
    removed_at: datetime | None

    def silent(self, now: datetime) -> bool:
        """Tell whether nothing was heard of it for a while, or never."""
        return self.last_seen_at is None or self.last_seen_at <= now - SILENT_AFTER


def add_host(
    db: Database,
    *,
    name: str,
    labels: Mapping[str, str],
    public_key: str,
    kid: str,
    password_sha256: str,
    by: str,
    door: str,
) -> HostRow:
    """Add a host and return it; raises Refused where its name or key is taken."""
    raise NotImplementedError


def host(db: Database, name_or_id: str | UUID) -> HostRow:
    """Return the host with this name, id, or the last 8 hex digits of an id; raises NotFound."""
    raise NotImplementedError


def hosts(db: Database) -> list[HostRow]:
    """Return every host that was not removed, by name."""
    raise NotImplementedError


def remove_host(db: Database, name_or_id: str | UUID, *, by: str, door: str) -> HostRow:
    """Remove a host: its keys hold no more, its commands are called off, its history stays; raises NotFound."""
    raise NotImplementedError


def rename_host(db: Database, name_or_id: str | UUID, *, name: str, by: str, door: str) -> HostRow:
    """Give a host another name; raises NotFound, and Refused where the name is taken."""
    raise NotImplementedError


def label_host(db: Database, name_or_id: str | UUID, *, labels: Mapping[str, str], by: str, door: str) -> HostRow:
    """Replace the labels of a host; raises NotFound."""
    raise NotImplementedError


def logins(db: Database) -> list[tuple[str, str]]:
    """Return the id in hex and the SHA-256 of the broker password of every host that was not removed."""
    raise NotImplementedError


def key_owner(db: Database, kid: str) -> tuple[str, str] | None:
    """Return the id in hex of the host that owns the key, and the public key's text; None where it holds for nobody."""
    raise NotImplementedError
