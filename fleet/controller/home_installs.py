"""Updates that Home Assistant orders: each goes the way of ``fleet update``, with its stops, windows and audit."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypedDict
from uuid import UUID

from fleet.clock import Clock, SystemClock
from fleet.controller import plans
from fleet.controller.check import asking_of
from fleet.controller.errands import Errands, Threads
from fleet.errors import FleetError
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.mqtt.entities import INSTALL
from fleet.mqtt.place import Place
from fleet.settings.centre import CheckSettings

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 60.0
"""How long after an order the same one is not taken again: a person presses twice, and a program without an end."""


class _By(TypedDict):
    by: str
    door: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An update that Home Assistant may order now."""

    host_id: UUID
    host: str
    container: str
    digest: str
    """What its tag has."""


@dataclass(slots=True, kw_only=True)
class Installs:
    """Takes requests, and orders what was asked for, one after the other in a thread of its own."""

    db: Database
    place: Place
    check: CheckSettings
    errands: Errands = field(default_factory=Threads)
    clock: Clock = field(default_factory=SystemClock)
    notes: dict[tuple[UUID, str], tuple[str, str]] = field(default_factory=dict)
    """What was not installed, and why: Home Assistant is told."""
    moved: SimpleQueue[UUID] = field(default_factory=SimpleQueue)
    """Hosts of which something is to be told anew."""
    _offers: dict[str, Mapping[str, Offer]] = field(default_factory=dict)
    _orders: SimpleQueue[Offer] = field(default_factory=SimpleQueue)
    _taken: dict[tuple[str, str], float] = field(default_factory=dict)
    _refused: dict[str, float] = field(default_factory=dict)

    def offer(self, owner: str, offers: Mapping[str, Offer]) -> None:
        """Let these updates, and no others, be ordered of a host."""
        if offers:
            self._offers[owner] = offers
        else:
            self._offers.pop(owner, None)

    def take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a request; what asks for nothing that may be ordered is told in the log."""
        asked = self.place.asked(topic)
        found = self._offers.get(asked[0], {}).get(asked[1]) if asked else None
        if retained:
            self._refuse(
                topic, "it is to stand there, and would be taken anew with each connection; send it without retain"
            )
        elif payload != INSTALL:
            self._refuse(topic, f"it says something else than {INSTALL.decode()}")
        elif found is None or asked is None:
            self._refuse(topic, "there is no update there that Home Assistant may order")
        elif self.clock.monotonic() >= self._taken.get(asked, float("-inf")) + AGAIN_AFTER_S:
            self._taken[asked] = self.clock.monotonic()
            self._orders.put(found)

    def begin(self) -> None:
        """Let what was taken be ordered."""
        now = self.clock.monotonic()
        self._taken = {asked: at for asked, at in self._taken.items() if now < at + AGAIN_AFTER_S}
        if not self._orders.empty():
            self.errands.begin("installs of Home Assistant", self._order_all)

    def _order_all(self) -> None:
        while True:
            try:
                offer = self._orders.get_nowait()
            except Empty:
                return
            self._order(offer)

    def _order(self, offer: Offer) -> None:
        """Order one; why that was refused stands in the audit, and where Home Assistant shows it."""
        by: _By = {"by": f"mqtt:{self.place.topic}", "door": "mqtt"}
        told = {"host": offer.host, "container": offer.container}
        asking = asking_of(self.check)
        try:
            rollout, plan = plans.update(self.db, offer.host_id, offer.container, asking=asking, **by)
            left = plan.document.left_out
            why = "" if rollout else left[0].reason if left else "there is nothing to update any more"
        except FleetError as error:
            rollout, why = None, str(error)
        key, note = (offer.host_id, offer.container), (offer.digest, f"not installed: {why}")
        if not why:
            log.info("ordered by Home Assistant", extra={**told, "rollout": str(rollout)})
            self.notes.pop(key, None)
        elif self.notes.get(key) != note:
            log.warning("cannot install what Home Assistant ordered", extra={**told, "reason": why})
            details = {"container": offer.container, "reason": why}
            audit.record(self.db, **by, action="refused", subject=offer.host, details=details)
            self.notes[key] = note
        self.moved.put(offer.host_id)

    def _refuse(self, topic: str, why: str) -> None:
        """Tell of it once a minute: whoever may publish there must not fill the log."""
        now = self.clock.monotonic()
        if now >= self._refused.get(why, float("-inf")) + AGAIN_AFTER_S:
            self._refused[why] = now
            log.warning("request to install not taken", extra={"topic": topic, "reason": why})
