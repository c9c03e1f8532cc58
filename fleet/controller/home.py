"""Tells Home Assistant of the fleet, over one connection: first what differs from what stands at the broker, then what changes."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from queue import Empty
from uuid import UUID

from fleet.clock import Clock, SystemClock
from fleet.controller.home_changes import Changes
from fleet.controller.home_installs import Installs, Offer
from fleet.controller.home_told import Told, Wanted, told_of
from fleet.history.measured.mirrors import measure_mirrors
from fleet.history.rollouts.home_marks import removed_hosts
from fleet.history.sql.database import Database
from fleet.mqtt import entities
from fleet.mqtt.entities import ONLINE, CentreTold
from fleet.mqtt.link import Link
from fleet.mqtt.place import CENTRE, Place, thing
from fleet.mqtt.retained import Retained
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Of so many hosts it is told between two looks for requests and the end."""
LEARNED_AT_ONCE = 10
"""Of so many hosts it is asked together what stands: a broker holds a thousand messages back, and loses the rest."""
MOST_UNANSWERED = 4
"""After so many questions in a row that were not answered whole nobody asks what stands: all is sent."""
MIRRORS_EVERY_S = 60.0


class Home:
    """What is told over one connection."""

    def __init__(self, db: Database, link: Link, settings: CentreSettings, *, clock: Clock | None = None) -> None:
        """Begin with nothing known of what stands at the broker."""
        self._db, self._link = db, link
        self._place = place_of(settings)
        self._wanted = Wanted(told=settings.mqtt.told(), may_install=settings.mqtt.may_install())
        self._clock = clock or SystemClock()
        self._every_s = settings.mqtt.every_s
        self._changes = Changes(db, settings.mqtt.every_s)
        self._retained = Retained()
        self._installs = Installs(db=db, place=self._place, check=settings.check, clock=self._clock)
        self._outdated: dict[str, int] = {}
        self._mirrors: tuple[tuple[str, bool], ...] = ()
        self._removed: list[UUID] | None = None
        self._unanswered = 0
        self._looked = self._looked_at_mirrors = float("-inf")

    @property
    def hosts(self) -> int:
        """Of how many hosts it is told."""
        return len(self._outdated)

    def step(self) -> bool:
        """Do some of what is due; tell whether more is. Raise Unreachable."""
        self._take_requests()
        self._look()
        if self._link.denied:
            self._link.denied = False
            self._link.publish(self._place.status, ONLINE)
        if ids := self._changes.take(AT_ONCE):
            self._tell(ids)
        if removed := self._some_removed():
            self._settle({id.hex: {} for id in removed})
        if self._changes.any_due or self._removed:
            return True
        self._tell_centre()
        self._link.settle()
        return False

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now < self._looked + self._every_s:
            return
        self._looked = now
        self._changes.look()
        if self._removed is None:
            self._removed = removed_hosts(self._db)

    def _take_requests(self) -> None:
        while True:
            try:
                asked = self._link.asked.get_nowait()
            except Empty:
                break
            self._installs.take(asked.topic, asked.payload, retained=asked.retained)
            if asked.retained:
                self._link.publish(asked.topic, b"")
        self._installs.begin()
        while not self._installs.moved.empty():
            self._changes.add([self._installs.moved.get().hex])

    def _tell(self, ids: Sequence[str]) -> None:
        marks = {id: self._changes.marks[id] for id in ids if id in self._changes.marks}
        found = {
            told.host.id: told
            for told in told_of(self._db, marks, self._wanted, self._changes.under_way, self._installs.notes)
        }
        self._settle({id: self._of_host(id, found.get(id)) for id in ids})

    def _of_host(self, id: str, told: Told | None) -> entities.Messages:
        offers = {}
        if told is None or not told.host.containers:
            self._outdated.pop(id, None)
        else:
            self._outdated[id] = len(told.outdated)
            offers = {
                thing(each.name): Offer(
                    host_id=UUID(id), host=told.host.name, container=each.name, digest=told.outdated[each.name]
                )
                for each in told.host.containers
                if each.may_install and each.name in told.outdated and not each.under_way
            }
        self._installs.offer(id, offers)
        return entities.of_host(told.host, self._place) if told else {}

    def _some_removed(self) -> list[UUID]:
        some = (self._removed or [])[:AT_ONCE]
        del (self._removed or [])[:AT_ONCE]
        return some

    def _tell_centre(self) -> None:
        """Tell of mirrors, and of how much is pending; of nothing, where of no host is told."""
        now = self._clock.monotonic()
        if now >= self._looked_at_mirrors + MIRRORS_EVERY_S:
            self._looked_at_mirrors = now
            self._mirrors = tuple((each.mirror, each.up) for each in measure_mirrors(self._db))
        centre = CentreTold(pending=sum(self._outdated.values()), mirrors=self._mirrors)
        self._settle({CENTRE: entities.of_centre(centre, self._place) if self._outdated else {}})

    def _settle(self, wanted: Mapping[str, entities.Messages]) -> None:
        owners = list(wanted)
        for first in range(0, len(owners), LEARNED_AT_ONCE):
            some = owners[first : first + LEARNED_AT_ONCE]
            if unknown := [owner for owner in some if not self._retained.knows(owner)]:
                for owner, found in self._learn(unknown).items():
                    self._retained.learn(owner, found)
            for owner in some:
                for topic, payload in self._retained.settle(owner, wanted[owner]):
                    self._link.publish(topic, payload)

    def _learn(self, owners: Collection[str]) -> Mapping[str, Mapping[str, bytes]]:
        """Return what stands of each owner: asked together or, where that is too much at once, one by one."""
        by_owner: dict[str, dict[str, bytes]] = {owner: {} for owner in owners}
        found = self._ask([filter for owner in owners for filter in self._place.filters(owner)])
        for topic, payload in found.items() if found is not None else self._one_by_one(owners):
            by_owner.setdefault(self._place.owner_of(topic), {})[topic] = payload
        return {owner: by_owner[owner] for owner in owners}

    def _one_by_one(self, owners: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for owner in owners:
            for filter in self._place.filters(owner):
                yield from (self._ask([filter]) or {}).items()

    def _ask(self, filters: Sequence[str]) -> Mapping[str, bytes] | None:
        """Return what stands below *filters*; None: it is not known. A broker that never says it is asked no more."""
        if self._unanswered == MOST_UNANSWERED:
            return {}
        found = self._link.learn(filters)
        self._unanswered = 0 if found is not None else self._unanswered + 1
        if self._unanswered == MOST_UNANSWERED:
            self._link.refused = (
                f"it does not say what stands below {filters[0]}; may Fleet read there, and below its own topic?"
            )
            log.warning("cannot tell what stands at the MQTT broker", extra={"reason": self._link.refused})
        return found


def place_of(settings: CentreSettings) -> Place:
    """Return where this installation writes."""
    return Place(topic=settings.mqtt.topic, discovery=settings.mqtt.discovery)
