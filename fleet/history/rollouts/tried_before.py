"""What came of a release where it was tried before: a person may try again, and is warned; the clock does not by itself.

A release is an image with one digest. What is tried again every night while nothing has changed takes a container down every
night, and another one where the first one of a rollout is always another.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, case, exists, literal, null, or_, select

from fleet.history.commands.pinned import Target, pinned_images, pins_of
from fleet.history.sql.database import Database
from fleet.history.tables.facts import updates
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, WAITING, HostState, RolloutState
from fleet.updates.outcome import Result

LOOKED_BACK = timedelta(days=90)
"""For how long a rollout that went back, or was aborted, counts."""
MOST_ROLLOUTS = 200
"""Of how many of those it is read what they pinned: the newest."""

Release = tuple[str, str]
"""An image, as the canonical registry/repository:tag, and a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedBefore:
    """Why a release is not brought to a container by the clock, for people."""

    everywhere: Mapping[Release, str] = field(default_factory=dict)
    """Of releases whose rollout went back."""
    on_hosts: Mapping[tuple[str, Release], str] = field(default_factory=dict)
    """By host (its id in hex), of releases whose rollout was aborted."""
    under_way: Mapping[tuple[str, Release], str] = field(default_factory=dict)
    """The same of releases that a rollout is bringing to the host."""
    on_containers: Mapping[tuple[str, str, Release], str] = field(default_factory=dict)
    """By host and container's name, of releases that the container went back from."""

    def why(self, host_id: str, container: str, image: str, digest: str) -> str:
        """Return why *digest* is not brought to the container, the nearest reason first; empty where nothing speaks against it."""
        release = (image, digest)
        return (
            self.under_way.get((host_id, release), "")
            or self.on_containers.get((host_id, container, release), "")
            or self.on_hosts.get((host_id, release), "")
            or self.everywhere.get(release, "")
        )


def tried_before(db: Database, wanted: Collection[Release], *, with_under_way: bool) -> TriedBefore:
    """Return what came of the *wanted* releases, and where one is under way only if that is asked for."""
    if not wanted:
        return TriedBefore()
    releases = frozenset(wanted)
    with db.reading() as connection:
        everywhere, on_hosts = _stopped(connection, releases, db.moment(connection) - LOOKED_BACK)
        return TriedBefore(
            everywhere=everywhere,
            on_hosts=on_hosts,
            under_way=_under_way(connection, releases) if with_under_way else {},
            on_containers=_gone_back(connection, releases),
        )


def _stopped(
    connection: Connection, wanted: frozenset[Release], since: datetime
) -> tuple[dict[Release, str], dict[tuple[str, Release], str]]:
    """Return what rollouts that went back, or were aborted, had brought, unless a later one brought it well."""
    c = rollouts.c
    over = (c.state.in_((RolloutState.ROLLED_BACK, RolloutState.ABORTED)), c.way_back_of.is_(None), c.ended_at > since)
    query = select(c.id, c.number, c.state).where(*over).order_by(c.number.desc()).limit(MOST_ROLLOUTS)
    everywhere: dict[Release, str] = {}
    on_hosts: dict[tuple[str, Release], str] = {}
    for row in connection.execute(query).all():
        some = {each for each in wanted & pinned_images(connection, row.id) if not _came(connection, each, row.number)}
        if some and row.state == RolloutState.ROLLED_BACK:
            for release in some:
                everywhere.setdefault(release, f"rollout #{row.number} brought it, and went back")
        elif some:
            for host_id, release in _hosts_of(connection, row.id, frozenset(some)):
                on_hosts.setdefault((host_id, release), f"rollout #{row.number}, which was to bring it, was aborted")
    return everywhere, on_hosts


def _came(connection: Connection, release: Release, number: int) -> bool:
    """Tell whether a rollout after that of this *number* brought the release to a container."""
    u = updates.c
    query = (
        select(literal(1))
        .join(rollouts, rollouts.c.id == u.rollout_id)
        .where(
            u.new_digest == release[1], u.image == release[0], u.result == Result.UPDATED, rollouts.c.number > number
        )
    )
    return connection.execute(query.limit(1)).first() is not None


def _under_way(connection: Connection, wanted: frozenset[Release]) -> dict[tuple[str, Release], str]:
    """Return what active rollouts bring: in waves to any of their hosts as long as one waits, otherwise to those that wait."""
    c, h = rollouts.c, rollout_hosts.c
    query = select(c.id, c.number, c.spec, c.holds).where(c.ended_at.is_(None), c.way_back_of.is_(None))
    found: dict[tuple[str, Release], str] = {}
    for row in connection.execute(query.order_by(c.number)).all():
        some = wanted & pinned_images(connection, row.id)
        if not some:
            continue
        moving = select(literal(1)).where(h.rollout_id == row.id, h.state.in_([*LIVE, HostState.PENDING])).limit(1)
        whole = RolloutSpec.parse(row.spec).gated and connection.execute(moving).first() is not None
        ends = () if whole else (h.state.in_([*LIVE, *WAITING]),)
        for each in _hosts_of(connection, row.id, frozenset(some), *ends):
            found[each] = f"rollout #{row.number} brings it{_held(row.holds)}"
    return found


def _held(holds: Iterable[str]) -> str:
    return f", and is held: {', '.join(str(hold).replace('_', ' ') for hold in holds)}" if holds else ""


def _hosts_of(
    connection: Connection, rollout_id: UUID, wanted: frozenset[Release], *conditions: Any
) -> Iterator[tuple[str, Release]]:
    """Yield the hosts (in hex) of a rollout with those of the *wanted* releases that it pins for each."""
    c = rollout_hosts.c
    query = select(c.host_id, c.shape, case((c.shape.is_(None), c.targets), else_=null()).label("targets"))
    rows = connection.execute(query.where(c.rollout_id == rollout_id, *conditions)).all()
    pins = pins_of(connection, rollout_id, {row.shape for row in rows if row.shape is not None})
    of_shape = {number: wanted & _releases(some) for number, some in pins.items()}
    for row in rows:
        for release in wanted & _releases(row.targets) if row.shape is None else of_shape[row.shape]:
            yield row.host_id.hex, release


def _releases(pins: Iterable[Mapping[str, Any]] | Iterable[Target]) -> frozenset[Release]:
    return frozenset((pin["image"], pin["digest"]) for pin in pins)


def _gone_back(connection: Connection, wanted: frozenset[Release]) -> dict[tuple[str, str, Release], str]:
    """Return the containers that went back from one of the *wanted* releases, which nothing has touched since."""
    digests = sorted({digest for _, digest in wanted})
    u, c, later = updates.c, rollouts.c, updates.alias("later").c
    rolled_back = and_(u.new_digest.in_(digests), u.result == Result.ROLLED_BACK)
    brought_back = and_(u.old_digest.in_(digests), u.result == Result.UPDATED, or_(c.back, c.way_back_of.is_not(None)))
    same = (later.host_id == u.host_id, later.container == u.container, later.id > u.id)
    touched = later.result.in_((Result.UPDATED, Result.ROLLED_BACK))
    query = (
        select(u.host_id, u.container, u.image, u.result, u.old_digest, u.new_digest, c.number)
        .join(rollouts, c.id == u.rollout_id)
        .where(or_(rolled_back, brought_back), ~exists().where(*same, touched))
    )
    found: dict[tuple[str, str, Release], str] = {}
    for row in connection.execute(query).all():
        alone = row.result == Result.ROLLED_BACK
        release = (row.image, row.new_digest if alone else row.old_digest)
        if release in wanted:
            did = "brought it here, where it was rolled back" if alone else "brought this container back from it"
            found[row.host_id.hex, row.container, release] = f"rollout #{row.number} {did}"
    return found
