"""What ``advance`` is told of one rollout: its waves, their counts, and the few hosts whose turn may have come."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from fleet.history.commands.pinned import pinned_images
from fleet.history.rollouts.candidates import Candidates
from fleet.history.rollouts.caps import Sizes
from fleet.history.rollouts.late_joiners import late_hosts
from fleet.history.rollouts.undone import left
from fleet.history.rollouts.waiting_hosts import of_wave, waiting
from fleet.history.rollouts.wave_counts import MANY, counts_of
from fleet.history.rules.own_windows import Admission
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import images
from fleet.history.tables.rollouts import rollout_hosts, rollouts, waves
from fleet.rollouts.facts import RolloutFacts, Superseding, WaveFacts
from fleet.rollouts.holding import IN_A_ROW
from fleet.rollouts.spec import LateJoiners, RolloutSpec
from fleet.rollouts.states import BAD, LIVE, WAITING, FailureClass, Hold, HostState, RolloutState, WaveState

_LEAST_NEXT, _MOST_NEXT = 100, 500
"""So many pending hosts of a wave are looked at for silence and quarantine, however few or many may be dispatched."""

_LOOKED_BACK = 200
"""How many of the latest tries are looked at to count failures in a row."""

_PINNED: dict[UUID, frozenset[tuple[str, str]]] = {}
"""What rollouts pin, as this process read it: it never changes, and at each tick that a young release waits it is asked again; to
look for what hosts have alone takes 20 ms of 100,000.
"""
_REMEMBERED = 1000

_WAVES = select(waves).where(waves.c.rollout_id == bindparam("id")).order_by(waves.c.number)


def facts_of(connection: Connection, row: RowMapping, now: datetime, sizes: Sizes | None = None) -> RolloutFacts:
    """Return what is known of the rollout in *row* at *now*; *sizes* hold what was counted for caps before."""
    spec = RolloutSpec.parse(row["spec"])
    id = row["id"]
    known = _waves(connection, row, spec, now)
    failed = any(wave.count(*BAD) for wave in known)
    # What is only asked for in order to dispatch is left alone while nothing can be: it is of the fleet's size.
    open_ = _with_room(row, spec, known)
    timed = open_ or any(wave.active_since is not None for wave in known)
    many = sum(wave.count(*WAITING) for wave in known) >= MANY
    admission = Admission(connection, row, spec, now, many=many) if timed else None
    candidates, caps = (
        Candidates(connection, row, spec, admission, now).of(open_, sizes) if open_ and admission else ((), ())
    )
    infrastructure, engine = _in_a_row(connection, row)
    way_back = _way_back(connection, id) if row["state"] is RolloutState.ROLLING_BACK else None
    return RolloutFacts(
        id=id,
        spec=spec,
        state=row["state"],
        created_at=row["created_at"],
        waves=known,
        candidates=candidates,
        holds=frozenset(Hold(hold) for hold in row["holds"]),
        caps=caps,
        times=admission.times() if admission is not None else frozenset(),
        dispatched_last_minute=_dispatched(connection, id, now) if candidates else 0,
        forgiven=(row["forgiven"] or 0) if failed else 0,
        late=len(late_hosts(connection, row)) if spec.late_joiners is LateJoiners.CONVERGE else 0,
        infrastructure_in_a_row=infrastructure,
        engine_in_a_row=engine,
        superseded_by=_superseding(connection, row),
        first_seen_at=_first_seen_at(connection, row) if spec.min_release_age_ms else None,
        is_way_back=row["way_back_of"] is not None,
        way_back=way_back,
        undoable=way_back is None and _undoable(connection, row, known),
    )


def _with_room(row: RowMapping, spec: RolloutSpec, known: Sequence[WaveFacts]) -> list[WaveFacts]:
    """Return the waves of which a host could be dispatched now, as far as the rollout itself is concerned."""
    full = sum(wave.count(*LIVE) for wave in known) >= spec.max_parallel
    if row["state"] is not RolloutState.RUNNING or row["holds"] or full:
        return []
    return [w for w in known if w.state is not WaveState.PENDING and w.count(HostState.PENDING)]


def _waves(connection: Connection, row: RowMapping, spec: RolloutSpec, now: datetime) -> tuple[WaveFacts, ...]:
    found = connection.execute(_WAVES, {"id": row["id"]}).mappings().all()
    counts = counts_of(connection, row["id"], found)
    live = sum(each.get(state, 0) for each in counts.values() for state in LIVE)
    most = min(max(spec.max_parallel - live, _LEAST_NEXT), _MOST_NEXT)
    return tuple(_wave(connection, row, wave, counts[wave["number"]], spec, most, now) for wave in found)


def _wave(
    connection: Connection,
    row: RowMapping,
    wave: RowMapping,
    counts: Mapping[HostState, int],
    spec: RolloutSpec,
    most: int,
    now: datetime,
) -> WaveFacts:
    id, number = row["id"], wave["number"]
    waits = waiting(connection, row, wave, counts, spec, most, now)
    return WaveFacts(
        number=number,
        state=wave["state"],
        counts=counts,
        opened_at=wave["opened_at"],
        active_ms=wave["active_ms"] or 0,
        active_since=wave["active_since"],
        soak_since=wave["soak_since"],
        regressed_at=_regressed_at(connection, id, number) if counts.get(HostState.REGRESSED) else None,
        approved=wave["approved_at"] is not None,
        prefetched=wave["prefetched_at"] is not None,
        silent=waits["silent"],
        returned=waits["returned"],
        overdue=waits["overdue"],
        quarantined=waits["quarantined"],
    )


def _regressed_at(connection: Connection, id: UUID, number: int) -> datetime | None:
    query = select(func.max(rollout_hosts.c.changed_at)).where(of_wave(id, number, HostState.REGRESSED))
    found: datetime | None = connection.execute(query).scalar()
    return found


def _dispatched(connection: Connection, id: UUID, now: datetime) -> int:
    lately = (commands.c.rollout_id == id, commands.c.created_at > now - timedelta(minutes=1))
    return connection.execute(select(func.count()).select_from(commands).where(*lately)).scalar_one()


def _in_a_row(connection: Connection, row: RowMapping) -> tuple[int, int]:
    """Return how many of the latest tries ended one after the other for want of bytes, and for want of an engine.

    Exact from where it means an outage on; below that, successes in between are not looked for.
    """
    c = rollout_hosts.c
    mine = [c.rollout_id == row["id"]]
    if row["counted_from"] is not None:
        mine.append(c.changed_at > row["counted_from"])
    query = select(c.failure, c.changed_at).where(*mine, c.failure.is_not(None))
    latest = connection.execute(query.order_by(c.changed_at.desc(), c.host_id).limit(_LOOKED_BACK)).all()
    same = [each.changed_at for each in takewhile(lambda each: each.failure == latest[0].failure, latest)]
    if len(same) >= IN_A_ROW:
        well = select(func.max(c.changed_at)).where(*mine, c.state == HostState.SUCCEEDED, c.changed_at >= same[-1])
        last = connection.execute(well).scalar()
        same = [at for at in same if last is None or at > last]
    count = {latest[0].failure: len(same)} if latest else {}
    return count.get(FailureClass.INFRASTRUCTURE.value, 0), count.get(FailureClass.ENGINE.value, 0)


def _superseding(connection: Connection, row: RowMapping) -> Superseding | None:
    if row["superseded_by"] is None:
        return None
    query = select(rollouts.c.id, rollouts.c.number, rollouts.c.state, rollouts.c.started_at)
    newer = connection.execute(query.where(rollouts.c.id == row["superseded_by"])).one()
    if newer.started_at is None and newer.state.ended:
        return None
    return Superseding(id=newer.id, begun=newer.started_at is not None, number=newer.number)


def _first_seen_at(connection: Connection, row: RowMapping) -> datetime | None:
    """Return when the centre first saw the youngest digest of a rollout that has not begun."""
    if row["state"] is not RolloutState.PLANNED:
        return None
    wanted = _pinned(connection, row["id"])
    query = select(images.c.image, images.c.digest, images.c.first_seen_at)
    seen = connection.execute(query.where(images.c.image.in_({image for image, _ in wanted})))
    return max((at for image, digest, at in seen if (image, digest) in wanted), default=None)


def _pinned(connection: Connection, id: UUID) -> frozenset[tuple[str, str]]:
    """Return the images and digests that a rollout pins."""
    if id not in _PINNED:
        if len(_PINNED) >= _REMEMBERED:
            _PINNED.clear()
        _PINNED[id] = pinned_images(connection, id)
    return _PINNED[id]


def _undoable(connection: Connection, row: RowMapping, known: Sequence[WaveFacts]) -> bool:
    """Tell whether a rollout that rolls back has what a way back could bring back; asked once its hosts are at rest."""
    at_rest = not any(wave.count(*WAITING, *LIVE) for wave in known)
    return row["state"] is RolloutState.ROLLING_BACK and at_rest and bool(left(connection, row["id"]))


def _way_back(connection: Connection, id: UUID) -> RolloutState | None:
    found: RolloutState | None = connection.execute(
        select(rollouts.c.state).where(rollouts.c.way_back_of == id).order_by(rollouts.c.id.desc()).limit(1)
    ).scalar()
    return found
