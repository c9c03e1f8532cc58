"""A rehearsal over this fleet: its hosts as the history knows them, its caps and freezes, and the faults that were chosen."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from fleet.controller.spec_warnings import cap_of, planned_on, spec_warnings
from fleet.errors import NotFound, Refused
from fleet.history.inventory.containers import containers
from fleet.history.rollouts import caps, habits
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.rollouts.habits import AS_BEFORE, Chosen, HostHabits, simulated, unknown
from fleet.rollouts.rehearsal import rehearse
from fleet.rollouts.rehearsed import Faults, Rehearsal
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.stops import Stop, StopKind
from fleet.rollouts.windows import Freeze

MOST_HOSTS = 1000
"""More take longer than a person waits for an answer: the time grows with the square of the hosts."""

LONGEST = timedelta(days=31)
"""How much time a rehearsal takes at most, in the fleet's time."""

MOST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsing:
    """What shall be rehearsed."""

    selector: Selector
    spec: RolloutSpec
    seed: int = 0
    chosen: Chosen = AS_BEFORE
    bad_image: bool = False
    outage_ms: int = 0
    """For how long no pull succeeds; 0: it never comes to that."""
    centre_away_ms: int = 0
    after_ms: int = 0
    """How long after its begin the outage begins, and the centre goes away."""
    approve_after_ms: int | None = None

    def faults(self, begin: datetime) -> Faults:
        """Return the faults of a rehearsal that begins then."""
        at = begin + _length(self.after_ms)
        return Faults(
            bad_image=self.bad_image,
            outage=(at, at + _length(self.outage_ms)) if self.outage_ms else None,
            centre_away=(at, at + _length(self.centre_away_ms)) if self.centre_away_ms else None,
            approve_after=None if self.approve_after_ms is None else _length(self.approve_after_ms),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedFleet:
    """A rehearsal, with the hosts that it was of and what their behaviour was drawn from."""

    begin: datetime
    hosts: tuple[str, ...]
    """By name: whom the rollout would be for."""
    unknown: tuple[str, ...]
    """Of those, the ones that behave as any host of the fleet does, since too little is known of them."""
    updates: int
    """How many updates the hosts' behaviour was drawn from."""
    rehearsal: Rehearsal
    bad: Rehearsal
    """The same with an image that starts nowhere."""
    warnings: tuple[str, ...]


def rehearse_fleet(db: Database, asked: Rehearsing) -> RehearsedFleet:
    """Rehearse a rollout of *asked* that would begin now; nothing is planned, asked of a host, or kept.

    Raise NotFound where the selector takes no host, or what is chosen fits none of them, and Refused where it takes too
    many.
    """
    ids = {row.host_id for row in containers(db, asked.selector)}
    known = habits.habits(db)
    taken = [each for each in known if each.id in ids]
    if not taken:
        raise NotFound("cannot rehearse: no host has such a container; see: fleet ps")
    if len(taken) > MOST_HOSTS:
        raise Refused(
            f"cannot rehearse {len(taken)} hosts at once, at most {MOST_HOSTS}; choose some with --label or --host"
        )
    if nothing := asked.chosen.without_effect(taken):
        raise NotFound(f"cannot {nothing}; see: fleet host ls, fleet mirror stats")
    begin = db.now()
    spec = replace(asked.spec, freezes=(*asked.spec.freezes, *_freezes(stops.stops(db), begin)))
    rehearsal, bad = (_run(db, asked, spec, known, taken, begin, bad) for bad in (asked.bad_image, True))
    return RehearsedFleet(
        begin=begin,
        hosts=tuple(each.name for each in taken),
        unknown=unknown(taken),
        updates=sum(each.updates for each in taken),
        rehearsal=rehearsal,
        bad=bad,
        warnings=spec_warnings(db, spec, [each.id for each in taken]),
    )


def _run(
    db: Database,
    asked: Rehearsing,
    spec: RolloutSpec,
    known: Iterable[HostHabits],
    taken: Iterable[HostHabits],
    begin: datetime,
    bad_image: bool,
) -> Rehearsal:
    ids = {each.id for each in taken}
    own = planned_on(db)
    hosts = [
        replace(host, windows=own[host.id].windows if host.id in own else ())
        for host in simulated(list(known), begin, LONGEST, seed=asked.seed, chosen=asked.chosen)
    ]
    return rehearse(
        spec,
        [host for host in hosts if host.id in ids],
        begin,
        seed=UUID(int=asked.seed),
        caps=[cap_of(row) for row in caps.caps(db)],
        faults=replace(asked.faults(begin), bad_image=bad_image),
        others=[host for host in hosts if host.id not in ids],
        longest=LONGEST,
    )


def _freezes(stops: Iterable[Stop], now: datetime) -> tuple[Freeze, ...]:
    """Return the fleet's own freezes; one without an end lasts for longer than any rehearsal."""
    return tuple(
        Freeze(
            begins_at=stop.begins_at,
            ends_at=stop.ends_at or now + MOST,
            selector=Selector(hosts=stop.selector.hosts, labels=stop.selector.labels),
            reason=stop.reason,
        )
        for stop in stops
        if stop.kind is StopKind.FREEZE
    )


def _length(ms: int) -> timedelta:
    return timedelta(milliseconds=ms)
