"""The hosts of the fleet: added, named, labelled, removed; their logins and keys."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Text, cast, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from fleet.errors import BadInput, Refused
from fleet.history.inventory.keys import replace_keys
from fleet.history.inventory.leaving import leave
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.history.sql.json_text import of_json
from fleet.history.sql.lookup import as_uuid, find, not_found
from fleet.history.tables.inventory import host_keys
from fleet.history.tables.inventory import hosts as table
from fleet.ids import new_id
from fleet.rollouts.silence import SILENT_AFTER
from fleet.rollouts.windows import ZONE_LABEL, zone_named

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a host and a label may be called."""
_LONGEST_VALUE = 256
MOST_LABELS = 100
"""How many labels a host may have."""
_PRESENT = table.c.removed_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentHost:
    """Of one host what all of a fleet are asked for at once: the rest of it takes long to read."""

    id: UUID
    name: str
    labels: dict[str, str]
    last_seen_at: datetime | None

    def silent(self, now: datetime) -> bool:
        """Tell whether nothing was heard of it for a while, or never."""
        return _silent(self.last_seen_at, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMirrors:
    """Of one host, or of many alike, what decides beside its policy where it pulls from."""

    mirrors: tuple[dict[str, Any], ...]
    """As in :class:`HostRow`."""
    reads: tuple[int, ...]


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
    lives: tuple[str, ...] | None = None
    """The last lives of its agent, in hex, the present one last; None: it told of none."""
    life_since: datetime | None = None
    """When the present one was first heard."""
    rivals_at: datetime | None = None
    """Since when two agents are known to speak as it; nothing is sent to it."""
    muted_at: datetime | None = None
    """When its right to append was last taken for a while, since it sent too much."""
    strangers_since: datetime | None = None
    """Since when somebody tries to log in as it with a password that does not hold."""
    strangers_at: datetime | None = None
    engine_since: datetime | None = None
    """Since when it tells of its engine; None: since before that was kept."""

    def silent(self, now: datetime) -> bool:
        """Tell whether nothing was heard of it for a while, or never."""
        return _silent(self.last_seen_at, now)


def _silent(last_seen_at: datetime | None, now: datetime) -> bool:
    return last_seen_at is None or last_seen_at <= now - SILENT_AFTER


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
    """Add a host and return it; raises BadInput for a name or label that cannot be used, Refused where the name or key
    is taken.
    """
    _check_name(name)
    _check_labels(labels)
    with db.writing() as connection:
        now = db.moment(connection)
        row = {**_blank(), "id": new_id(), "name": name, "labels": dict(labels), "created_at": now}
        row["broker_password_sha256"] = password_sha256
        _or_refused(connection, insert(table).values(row), f"the name {name!r} is taken")
        key = {"kid": kid, "host_id": row["id"], "public_key": public_key, "created_at": now}
        _or_refused(connection, insert(host_keys).values(key), "its key belongs to a host already; make a new one")
        audit.note(
            connection,
            now,
            by=by,
            door=door,
            action="host add",
            subject=name,
            details={"id": row["id"].hex, "kid": kid},
        )
        return _read(find(connection, table, row["id"], what="host"))


def host(db: Database, name_or_id: str | UUID) -> HostRow:
    """Return the host with this name, id, or the last 8 hex digits of an id; raises NotFound."""
    with db.reading() as connection:
        return _read(_find(connection, name_or_id))


def removed_host(db: Database, name_or_id: str) -> HostRow:
    """Return the host of this name or id that was removed, the latest of several; raises NotFound."""
    id, name = as_uuid(name_or_id), name_or_id.replace("\0", "")
    named = table.c.name == name if id is None else or_(table.c.name == name, table.c.id == id)
    query = select(table).where(~_PRESENT, named).order_by(table.c.removed_at.desc()).limit(1)
    with db.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise not_found("host", name_or_id)
    return _read(row)


def hosts(db: Database) -> list[HostRow]:
    """Return every host that was not removed, by name."""
    with db.reading() as connection:
        rows = connection.execute(select(table).where(_PRESENT).order_by(table.c.name)).mappings()
        return [_read(row) for row in rows]


def present(db: Database) -> list[PresentHost]:
    """Return every host that was not removed, with little of each, in no order."""
    query = select(table.c.id, table.c.name, table.c.labels, table.c.last_seen_at).where(_PRESENT)
    with db.reading() as connection:
        return [
            PresentHost(id=id, name=name, labels=labels, last_seen_at=seen)
            for id, name, labels, seen in connection.execute(query)
        ]


def own_mirrors(db: Database) -> dict[UUID, OwnMirrors]:
    """Return by host what mirrors it told of, of every host that was not removed: one and the same for those alike."""
    query = select(table.c.id, cast(table.c.mirrors, Text), cast(table.c.reads, Text)).where(_PRESENT)
    read: dict[tuple[str, str], OwnMirrors] = {}
    found = {}
    with db.reading() as connection:
        for id, mirrors, reads in connection.execute(query):
            if (mirrors, reads) not in read:
                own = OwnMirrors(mirrors=tuple(of_json(mirrors)), reads=tuple(of_json(reads)))
                read[mirrors, reads] = own
            found[id] = read[mirrors, reads]
    return found


def rejoin_host(
    db: Database, name_or_id: str | UUID, *, public_key: str, kid: str, password_sha256: str, by: str, door: str
) -> HostRow:
    """Let another key and password alone hold for a host from now on; raises NotFound, Refused where the key is taken."""
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        now = db.moment(connection)
        try:
            replace_keys(
                connection, found["id"], kid=kid, public_key=public_key, password_sha256=password_sha256, now=now
            )
        except IntegrityError:
            raise Refused("cannot keep this host: its key belongs to a host already; make a new one") from None
        audit.note(connection, now, by=by, door=door, action="host rejoin", subject=found["name"], details={"kid": kid})
        return _read(find(connection, table, found["id"], what="host"))


def remove_host(db: Database, name_or_id: str | UUID, *, by: str, door: str) -> HostRow:
    """Remove a host: its keys hold no more, its commands are called off, its history stays; raises NotFound."""
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        now = db.moment(connection)
        connection.execute(update(table).where(table.c.id == found["id"]).values(removed_at=now))
        mine = (host_keys.c.host_id == found["id"], host_keys.c.revoked_at.is_(None))
        connection.execute(update(host_keys).where(*mine).values(revoked_at=now))
        leave(connection, found["id"], now)
        audit.note(connection, now, by=by, door=door, action="host rm", subject=found["name"])
        return _read(find(connection, table, found["id"], what="host"))


def rename_host(db: Database, name_or_id: str | UUID, *, name: str, by: str, door: str) -> HostRow:
    """Give a host another name; raises NotFound, and Refused where the name is taken."""
    _check_name(name)
    return _change(db, name_or_id, lambda _: {"name": name}, action="host rename", by=by, door=door)


def label_host(
    db: Database,
    name_or_id: str | UUID,
    *,
    labels: Mapping[str, str],
    keep: bool = False,
    drop: Collection[str] = (),
    by: str,
    door: str,
) -> HostRow:
    """Give a host these labels, and no others; with *keep* also those that it has, but for *drop*. Raises NotFound, BadInput."""
    _check_labels(labels)

    def all_of(found: RowMapping) -> dict[str, Any]:
        kept = {key: value for key, value in found["labels"].items() if key not in drop} if keep else {}
        if len(whole := {**kept, **labels}) > MOST_LABELS:
            raise BadInput(f"cannot give {found['name']} {len(whole)} labels; {MOST_LABELS} are the most")
        return {"labels": whole}

    return _change(db, name_or_id, all_of, action="host label", by=by, door=door)


def key_owner(db: Database, kid: str) -> tuple[str, str] | None:
    """Return the id in hex of the host that owns the key, and the public key's text; None where it holds for nobody."""
    if "\0" in kid:
        return None
    query = (
        select(host_keys.c.host_id, host_keys.c.public_key)
        .join(table, table.c.id == host_keys.c.host_id)
        .where(host_keys.c.kid == kid, host_keys.c.revoked_at.is_(None), _PRESENT)
    )
    with db.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else (row.host_id.hex, row.public_key)


def _change(
    db: Database,
    name_or_id: str | UUID,
    become: Callable[[RowMapping], dict[str, Any]],
    *,
    action: str,
    by: str,
    door: str,
) -> HostRow:
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        values = become(found)
        taken = f"the name {values.get('name')!r} is taken"
        _or_refused(connection, update(table).where(table.c.id == found["id"]).values(values), taken)
        now = db.moment(connection)
        audit.note(connection, now, by=by, door=door, action=action, subject=found["name"], details=values)
        return _read(find(connection, table, found["id"], what="host"))


def _find(connection: Connection, name_or_id: str | UUID, *, lock: bool = False) -> RowMapping:
    return find(connection, table, name_or_id, what="host", name="name", among=_PRESENT, lock=lock)


def _read(row: RowMapping) -> HostRow:
    return HostRow(**row)


def _or_refused(connection: Connection, statement: Any, why: str) -> None:
    try:
        connection.execute(statement)
    except IntegrityError:
        raise Refused(f"cannot keep this host: {why}") from None


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BadInput(f"cannot use {name[:80]!r} as a host's name; letters, digits, dots, dashes, at most 63")


def _check_labels(labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        if not NAME.fullmatch(key) or len(value) > _LONGEST_VALUE or "\0" in value:
            raise BadInput(f"cannot use the label {key[:80]!r}; letters, digits, dots, dashes, and a short value")
        if key == ZONE_LABEL:
            zone_named(value)


def _blank() -> dict[str, Any]:
    texts = ("agent_version", "engine_id", "engine_name", "engine_version", "api_version", "os", "architecture")
    return {
        **dict.fromkeys((*texts, "snapshot_hash"), ""),
        **dict.fromkeys(("reads", "problems", "mirrors"), ()),
        "containerd_store": False,
        "outcomes_waiting": 0,
    }
