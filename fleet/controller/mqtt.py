"""The process that tells Home Assistant of the fleet, over MQTT. Nothing waits for it, and of several centres one does it."""

import logging
import signal
import threading
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from fleet.controller import home_pulse
from fleet.controller.backoff import Backoff
from fleet.controller.home_pulse import HomeState
from fleet.errors import BadInput, FleetError, TimedOut
from fleet.history.inbox import lock as inbox_lock
from fleet.history.inbox.lock import InboxLock
from fleet.history.sql.database import Database
from fleet.history.upkeep import upgrade
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 30.0
"""The longest wait for an MQTT broker or database that is away; it begins at one second and doubles."""
NOTED_EVERY_S = 30.0
"""How often it is noted at the least that this process lives."""
STANDBY_S = 5.0
"""How often it is looked whether the centre that tells still does."""


class Speaker:
    """Tells for as long as it may."""

    def __init__(self, db: Database, settings: CentreSettings, stop: threading.Event) -> None:
        """Prepare; raise BadInput where the settings or the library do not allow it."""
        self._db, self._settings, self._stop = db, settings, stop
        self._address = settings.mqtt.address()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._backoff = Backoff(stop, longest_s=LONGEST_WAIT_S)

    def wake(self) -> None:
        """Let it look at once whether there is something to do."""
        self._wake.put(None)

    def run(self) -> None:
        """Tell until the end; wait for a database or an MQTT broker that is away."""
        while not self._stop.is_set():
            self._backoff.attempt(self._try)

    def _try(self) -> None:
        try:
            upgrade.require_head(self._db)
            with ExitStack() as stack:
                lock = inbox_lock.lock(self._db, state_dir=self._settings.state_dir, wait_s=0, post=inbox_lock.MQTT)
                try:
                    held = stack.enter_context(lock)
                except TimedOut:
                    self._note(HomeState.STANDBY, "another centre of this fleet tells it")
                    self._stop.wait(STANDBY_S)
                    return
                self._tell(held)
        except FleetError as error:
            self._note(HomeState.AWAY, str(error))
            raise

    def _tell(self, lock: InboxLock) -> None:
        # Here, and not above: whoever tells nobody need not have the library.
        from fleet.controller.home import Home, place_of
        from fleet.mqtt.entities import ONLINE
        from fleet.mqtt.link import Link

        link = Link(self._address, place_of(self._settings), self.wake)
        link.connect()
        try:
            home = Home(self._db, link, self._settings)
            link.publish(place_of(self._settings).status, ONLINE)
            log.info("Home Assistant is told", extra={"broker": str(self._address)})
            while not self._stop.is_set() and lock.held():
                link.check()
                more = home.step()
                self._note(HomeState.REFUSED if link.refused else HomeState.TOLD, link.refused, home.hosts)
                self._backoff.went_well()
                if not more:
                    self._rest()
        finally:
            link.close()

    def _rest(self) -> None:
        with suppress(Empty):
            self._wake.get(timeout=min(self._settings.mqtt.every_s, NOTED_EVERY_S))
            while True:
                self._wake.get_nowait()

    def _note(self, state: HomeState, reason: str = "", hosts: int = 0) -> None:
        home_pulse.beat(self._settings.state_dir, state, datetime.now(UTC), reason=reason, hosts=hosts)


def run(settings: CentreSettings) -> None:
    """Tell until SIGTERM; raise BadInput where the settings or the library do not allow it."""
    stop = threading.Event()
    try:
        speaker = Speaker(Database.open(settings.database_url), settings, stop)
        _check_library()
    except FleetError as error:
        home_pulse.beat(settings.state_dir, HomeState.AWAY, datetime.now(UTC), reason=str(error))
        raise

    def end(*_: object) -> None:
        stop.set()
        speaker.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    speaker.run()
    home_pulse.forget(settings.state_dir)


def _check_library() -> None:
    try:
        import paho.mqtt.client  # noqa: F401
    except ImportError:
        raise BadInput(
            'cannot speak MQTT: install the extra mqtt, as in pip install "fleet-updater[mqtt,up]"'
        ) from None
