"""What hosts may do and how: documents for the fleet, for labels and for single hosts."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from fleet.errors import BadInput
from fleet.history.noted import audit
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import policies as table
from fleet.history.tables.words import PolicyKind
from fleet.mirrors.source import MirrorRule
from fleet.rollouts.policy import check_policy, merged, read_policy, selection_of
from fleet.rollouts.selection import ALL, Selection
from fleet.rollouts.trust import ORIGIN_ALONE, ResolvePolicy, read_resolve
from fleet.updates.command import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One document, as a person wrote it: only what it sets."""

    kind: PolicyKind
    subject: str
    """Empty for the fleet, ``name=value`` of the label, or the host's id in hex."""
    document: dict[str, Any]
    version: int
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectivePolicy:
    """What holds for one host: fleet, overridden by its labels' documents, overridden by its own."""

    document: dict[str, Any]
    policy: Policy
    hash: str
    """Of the document; a plan keeps it, and is stale once it is another one."""
    selection: Selection = ALL
    """Which of its containers are updated."""
    resolve: ResolvePolicy = ORIGIN_ALONE
    """How old a digest must be before it is rolled out here; whom to believe is the fleet's alone."""


def policy(db: Database, kind: PolicyKind, subject: str = "") -> PolicyRow | None:
    """Return one document; None where nobody wrote one. A host's *subject* is its name or id; raises NotFound."""
    with db.reading() as connection:
        return _row(connection, kind, _checked(connection, kind, subject))


def policies(db: Database) -> list[PolicyRow]:
    """Return every document, fleet first."""
    with db.reading() as connection:
        return policy_rows(connection)


def set_policy(
    db: Database, kind: PolicyKind, subject: str, document: Mapping[str, Any], *, by: str, door: str
) -> PolicyRow | None:
    """Write one document, and return it; an empty one takes it away, and None is returned.

    A host's *subject* is its name or id. Raises BadInput where the document cannot be used, NotFound for a host.
    """
    check_policy(document, "the policy")
    with db.writing() as connection:
        subject = _checked(connection, kind, subject)
        now = db.moment(connection)
        before = _row(connection, kind, subject)
        here = (table.c.kind == kind, table.c.subject == subject)
        values = {"document": dict(document), "changed_by": by, "changed_at": now}
        if not document:
            connection.execute(delete(table).where(*here))
        elif before is None:
            connection.execute(insert(table).values(kind=kind, subject=subject, version=1, **values))
        else:
            connection.execute(update(table).where(*here).values(version=before.version + 1, **values))
        details = {"before": before.document if before else {}, "after": dict(document)}
        named = f"{kind} {subject}".strip()
        audit.note(connection, now, by=by, door=door, action="policy set", subject=named, details=details)
        return _row(connection, kind, subject)


def effective_policy(db: Database, host_id: UUID) -> EffectivePolicy:
    """Return what holds for one host; raises NotFound."""
    with db.reading() as connection:
        found = find(connection, hosts, host_id, what="host")
        return effective(policy_rows(connection), host_id, found["labels"])


def effective_policies(db: Database, host_ids: Iterable[UUID] | None = None) -> dict[UUID, EffectivePolicy]:
    """Return what holds for these hosts, or for every one that was not removed."""
    with db.reading() as connection:
        return effective_for(connection, host_ids)


def fleet_resolve(connection: Connection) -> ResolvePolicy:
    """Return whom the fleet's own policy believes: a tag is asked for once for all hosts."""
    row = _row(connection, PolicyKind.FLEET, "")
    return read_resolve(row.document if row else {})


def resolving(db: Database) -> tuple[ResolvePolicy, tuple[MirrorRule, ...]]:
    """Return whom the fleet's own policy believes, and the mirrors of every host's policy, each once, in order."""
    with db.reading() as connection:
        rules = (rule for each in effective_for(connection).values() for rule in each.policy.mirrors)
        return fleet_resolve(connection), tuple(dict.fromkeys(rules))


def effective_for(connection: Connection, host_ids: Iterable[UUID] | None = None) -> dict[UUID, EffectivePolicy]:
    """Return what holds for the hosts with these ids, or for all that were not removed."""
    query = select(hosts.c.id, hosts.c.labels)
    query = query.where(hosts.c.removed_at.is_(None) if host_ids is None else among(connection, hosts.c.id, host_ids))
    holding = Holding(connection)
    return {id: holding.of(id, labels) for id, labels in connection.execute(query).all()}


class Holding:
    """What holds for each host of a fleet; many have the same documents, which are read once."""

    def __init__(self, connection: Connection) -> None:
        """Read the documents."""
        self._rows = policy_rows(connection)
        self._own = {row.subject for row in self._rows if row.kind is PolicyKind.HOST}
        self._read: dict[tuple[str, ...], EffectivePolicy] = {}

    def has_own(self, host_id: str) -> bool:
        """Tell whether the host with this id in hex has a document of its own; otherwise its labels say all."""
        return host_id in self._own

    def of(self, host_id: UUID, labels: Mapping[str, str]) -> EffectivePolicy:
        """Return what holds for one host."""
        mine = _of_host(self._rows, host_id, labels)
        key = tuple(f"{row.kind} {row.subject}" for row in mine)
        return self._read[key] if key in self._read else self._read.setdefault(key, _together(mine))


def effective(rows: Iterable[PolicyRow], host_id: UUID, labels: Mapping[str, str]) -> EffectivePolicy:
    """Return what *rows*, in their order, mean for one host."""
    return _together(_of_host(rows, host_id, labels))


def _of_host(rows: Iterable[PolicyRow], host_id: UUID, labels: Mapping[str, str]) -> list[PolicyRow]:
    return [row for row in rows if is_for(row, host_id, labels)]


def _together(rows: Iterable[PolicyRow]) -> EffectivePolicy:
    documents = [(_where(row), row.document) for row in rows]
    document = merged([document for _, document in documents])
    where = next((where for where, document in reversed(documents) if "mirrors" in document), "policy")
    written = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return EffectivePolicy(
        document=document,
        policy=read_policy(document, where),
        hash=hashlib.sha256(written).hexdigest(),
        selection=selection_of(document, where),
        resolve=read_resolve(document, where),
    )


def is_for(row: PolicyRow, host_id: UUID, labels: Mapping[str, str]) -> bool:
    """Tell whether a document is for a host with these labels."""
    match row.kind:
        case PolicyKind.FLEET:
            return True
        case PolicyKind.LABEL:
            name, _, value = row.subject.partition("=")
            return labels.get(name) == value
        case PolicyKind.HOST:
            return row.subject == host_id.hex


def _where(row: PolicyRow) -> str:
    return f"policy: {row.kind} {row.subject}".rstrip() if row.kind is PolicyKind.LABEL else f"policy: {row.kind}"


_ORDER = {kind: place for place, kind in enumerate(PolicyKind)}


def policy_rows(connection: Connection) -> list[PolicyRow]:
    """Return every document, in the order in which later ones stand in place of earlier ones."""
    rows = [PolicyRow(**row) for row in connection.execute(select(table)).mappings()]
    return sorted(rows, key=lambda row: (_ORDER[row.kind], row.subject))


def _row(connection: Connection, kind: PolicyKind, subject: str) -> PolicyRow | None:
    query = select(table).where(table.c.kind == kind, table.c.subject == subject)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else PolicyRow(**row)


def _checked(connection: Connection, kind: PolicyKind, subject: str) -> str:
    match kind:
        case PolicyKind.FLEET:
            if subject:
                raise BadInput("cannot give the fleet's policy a subject; for some hosts name a label or a host")
            return ""
        case PolicyKind.LABEL:
            name, equals, value = subject.partition("=")
            if not (name and equals and value) or "\0" in subject:
                raise BadInput(f"cannot use {subject[:80]!r} as a label; expected name=value")
            return subject
        case PolicyKind.HOST:
            there = hosts.c.removed_at.is_(None)
            id: UUID = find(connection, hosts, subject, what="host", name="name", among=there)["id"]
            return id.hex
