"""Looks at mirrors: hosts are asked for them, and what they found is kept as the mirrors' health history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, exists, func, insert, or_, select, update
from sqlalchemy import text as sql

from fleet.history.noted.outgoing import post
from fleet.history.questions.query_ways import MOST_MIRRORS, distinct
from fleet.history.rules.policies import effective_for
from fleet.history.sql.among import among
from fleet.history.sql.amounts import lasted, moment, size
from fleet.history.sql.database import Database
from fleet.history.sql.plain import name, prose
from fleet.history.tables.facts import BAD_LOOK
from fleet.history.tables.facts import mirror_probes as table
from fleet.history.tables.inventory import hosts, tags
from fleet.history.tables.mirrors import mirror_tests
from fleet.history.tables.partitions import lowest_id
from fleet.ids import new_id
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.road.messages import Probe, Probed
from fleet.rollouts.silence import SILENT_AFTER

MOST_IMAGES = 20
"""How many images one request names: one a registry is enough."""
MOST_PROBES = 100
"""How many mirrors of one answer are kept."""
STANDS_FOR = timedelta(days=2)
"""How long a look tells how a mirror stands."""
LOOKED_AT = 200
"""How many of the newest looks at one mirror are read to find one that saw its certificate."""
IS_BAD = sql(BAD_LOOK)
SCHEDULE = "schedule"
"""Who asked where the clock did."""


Key = tuple[UUID, str, str]
"""Who looked, at which mirror, for which registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """One look at one mirror, as it is kept."""

    host_id: UUID
    host: str
    mirror: str
    registry: str
    state: ProbeState
    reason: str
    duration_ms: int
    tls_not_after: datetime | None
    digest: str
    origin_digest: str
    recorded_at: datetime
    test_id: UUID | None
    bytes_per_s: int | None = None
    """The best speed of those measured while looks stand for something; None: none was."""


def ask_probes(
    db: Database, host_ids: Sequence[UUID], *, by: str, images: Mapping[str, str] | None = None
) -> dict[UUID, UUID]:
    """Ask these hosts to look at their mirrors; return the request's id of each.

    *images* are those to ask for, with what their origins say; None: one of each registry.
    """
    with db.writing() as connection:
        now = db.moment(connection)
        images = _images(connection) if images is None else images
        asked, reads = {}, _reads(connection, host_ids)
        for host_id, held in effective_for(connection, host_ids).items():
            id = asked[host_id] = new_id()
            row = {"id": id, "host_id": host_id, "asked_by": by, "asked_at": now, "answered_at": None}
            connection.execute(insert(mirror_tests).values(row))
            probe = Probe.read_by(reads[host_id], request=id, mirrors=held.policy.mirrors, images=dict(images))
            post(connection, host_id, probe, now)
        return asked


def due_hosts(db: Database, every: timedelta) -> list[UUID]:
    """Return the live hosts that were not asked within *every*."""
    with db.reading() as connection:
        now = db.moment(connection)
        lately = select(mirror_tests.c.host_id).where(mirror_tests.c.asked_at > now - every)
        live = (hosts.c.removed_at.is_(None), hosts.c.last_seen_at > now - SILENT_AFTER)
        query = select(hosts.c.id).where(*live, hosts.c.id.not_in(lately)).order_by(hosts.c.id)
        return list(connection.execute(query).scalars())


def answered(db: Database, requests: Sequence[UUID]) -> set[UUID]:
    """Return those of *requests* that were answered."""
    query = select(mirror_tests.c.id).where(mirror_tests.c.id.in_(requests), mirror_tests.c.answered_at.is_not(None))
    with db.reading() as connection:
        return set(connection.execute(query).scalars())


def take_probed(connection: Connection, now: datetime, host_id: UUID, answer: Probed) -> None:
    """Write down what a host found, once; an answer that nobody waits for is dropped."""
    mine = (mirror_tests.c.id == answer.request, mirror_tests.c.host_id == host_id)
    waits = update(mirror_tests).where(*mine, mirror_tests.c.answered_at.is_(None)).values(answered_at=now)
    if connection.execute(waits).rowcount != 1:
        return
    rows = [_row(probe, host_id, answer.request, now) for probe in answer.mirrors[:MOST_PROBES]]
    if rows:
        connection.execute(insert(table), rows)


def last_answers(since: datetime, *of: ColumnElement[bool]) -> Select[tuple[UUID]]:
    """Return of each host the test that was asked last of those that it answered, where that was not before *since*; *of* tells
    which are looked for.
    """
    t, later = mirror_tests.c, mirror_tests.alias("later")
    # By the index of when each host was asked: mostly the first row that is looked at tells.
    newer = or_(later.c.asked_at > t.asked_at, later.c.id > t.id)
    asked = (later.c.host_id == t.host_id, later.c.asked_at >= t.asked_at, newer)
    answered = exists().where(*asked, later.c.answered_at.is_not(None))
    return select(t.id).where(t.answered_at > since, *of, ~answered)


def latest_probes(db: Database) -> list[ProbeRow]:
    """Return the newest look of each host at each mirror and registry, unless it is too old to tell.

    What a host's last answer does not tell of is no mirror of it any more: each answer tells of all.
    """
    with db.reading() as connection:
        since = db.moment(connection) - STANDS_FOR
        last = last_answers(since)
        query = _looks(since).where(table.c.test_id.in_(last)).order_by(table.c.mirror, table.c.registry, hosts.c.name)
        rows = connection.execute(query).mappings().all()
        return _read_all(rows, _best(connection, since))


def bad_probes(db: Database) -> list[ProbeRow]:
    """Return those of :func:`latest_probes` that found something wrong: what all is well is most of them, and is not read."""
    with db.reading() as connection:
        since = db.moment(connection) - STANDS_FOR
        last = last_answers(since, mirror_tests.c.id == table.c.test_id).correlate(table).exists()
        # Sorted here: SQLite would rather read all that are well, by an index in the order of mirrors.
        rows = connection.execute(_looks(since).where(IS_BAD, last)).mappings().all()
        return _read_all(sorted(rows, key=lambda row: (row["mirror"], row["registry"], row["host"])), {})


def seen_certificates(db: Database) -> list[ProbeRow]:
    """Return of each mirror the newest look that saw its certificate, of those that hosts still name."""
    with db.reading() as connection:
        since = db.moment(connection) - STANDS_FOR
        rows = [
            row
            for mirror in distinct(connection, table.c.mirror, most=MOST_MIRRORS)
            if (row := connection.execute(_certificate(since, mirror)).mappings().first()) is not None
        ]
        return _read_all(rows, {})


def _certificate(since: datetime, mirror: str) -> Select[Any]:
    saw = select(table.c.id, table.c.test_id).where(table.c.mirror == mirror, table.c.id >= lowest_id(since))
    newest = (
        saw.where(table.c.tls_not_after.is_not(None)).order_by(table.c.id.desc()).limit(LOOKED_AT).subquery("newest")
    )
    last = last_answers(since, mirror_tests.c.id == newest.c.test_id).correlate(newest).exists()
    still = select(newest.c.id).where(last).order_by(newest.c.id.desc()).limit(1).scalar_subquery()
    return _looks(since).where(table.c.id == still)


def _looks(since: datetime) -> Select[Any]:
    lately = (table.c.id >= lowest_id(since), table.c.recorded_at > since, table.c.state.is_not(None))
    there = (hosts.c.id == table.c.host_id, hosts.c.removed_at.is_(None))
    return select(table, hosts.c.name.label("host")).where(*there, *lately)


def _best(connection: Connection, since: datetime) -> dict[Key, int]:
    """Return the best speed that each host measured lately at each mirror and registry."""
    key = (table.c.host_id, table.c.mirror, table.c.registry)
    lately = (table.c.id >= lowest_id(since), table.c.recorded_at > since, table.c.bytes_per_s.is_not(None))
    query = select(*key, func.max(table.c.bytes_per_s)).where(*lately).group_by(*key)
    return {(host_id, mirror, registry): best for host_id, mirror, registry, best in connection.execute(query)}


def _read_all(rows: Sequence[RowMapping], best: Mapping[Key, int]) -> list[ProbeRow]:
    """Read *rows*; of one host's at one mirror and registry the newest."""
    newest: dict[Key, RowMapping] = {}
    for row in rows:
        key = (row["host_id"], row["mirror"], row["registry"])
        if key not in newest or newest[key]["id"] < row["id"]:
            newest[key] = row
    return [_read(row, best.get(key)) for key, row in newest.items()]


def _reads(connection: Connection, host_ids: Sequence[UUID]) -> dict[UUID, Sequence[int]]:
    """Return the versions of messages that the hosts read."""
    query = select(hosts.c.id, hosts.c.reads).where(among(connection, hosts.c.id, host_ids))
    return {row.id: row.reads for row in connection.execute(query)}


def _images(connection: Connection) -> dict[str, str]:
    """Return an image of each registry that was asked for lately, with what its origin said."""
    query = select(tags.c.image, tags.c.digest).where(tags.c.digest != "", tags.c.reason == "")
    found: dict[str, tuple[str, str]] = {}
    for image, digest in connection.execute(query.order_by(tags.c.image)):
        found.setdefault(image.partition("/")[0], (image, digest))
    return dict(list(found.values())[:MOST_IMAGES])


def _row(probe: MirrorProbe, host_id: UUID, test_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "host_id": host_id,
        "mirror": name(probe.mirror),
        "registry": name(probe.registry),
        "ok": probe.state is ProbeState.OK,
        "status": 0,
        "reason": prose(probe.reason),
        "duration_ms": lasted(probe.duration_ms),
        "recorded_at": now,
        "state": probe.state.value,
        "test_id": test_id,
        "tls_not_after": None if probe.tls_not_after is None else moment(probe.tls_not_after),
        "digest": name(probe.digest) or None,
        "origin_digest": name(probe.origin_digest) or None,
        "bytes_per_s": None if probe.bytes_per_s is None else size(probe.bytes_per_s),
    }


def _read(row: RowMapping, best: int | None) -> ProbeRow:
    return ProbeRow(
        host_id=row["host_id"],
        host=row["host"],
        mirror=row["mirror"],
        registry=row["registry"],
        state=ProbeState(row["state"]),
        reason=row["reason"],
        duration_ms=row["duration_ms"],
        tls_not_after=row["tls_not_after"],
        digest=row["digest"] or "",
        origin_digest=row["origin_digest"] or "",
        recorded_at=row["recorded_at"],
        test_id=row["test_id"],
        bytes_per_s=best,
    )
