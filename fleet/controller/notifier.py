"""The notifier: finds what people are to be told, and tells it to every channel that wants it. It decides nothing else.

It is a process of its own, and each channel has a thread of its own in it: one that hangs keeps nobody else waiting. What
it did not note as sent is sent again, under the same id, whenever and by whomever.
"""

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from fleet.clock import Clock, SystemClock
from fleet.controller.backoff import Backoff
from fleet.controller.condition import Condition
from fleet.controller.conditions import active
from fleet.controller.errands import Errands, Threads
from fleet.errors import FleetError
from fleet.history.inventory import hosts
from fleet.history.noted import followed
from fleet.history.notify import channels, deliveries, event_taking, links
from fleet.history.notify import conditions as standing
from fleet.history.notify.conditions import Seen
from fleet.history.notify.deliveries import DeliveryRow, DueChannel
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.history.tables.words import ChannelKind
from fleet.history.upkeep import upgrade
from fleet.notify import by_apprise, template, webhook
from fleet.notify.events import PREFIX, EventType, read
from fleet.notify.links import Links, hash_of, url_of, with_links
from fleet.notify.seal import Opener
from fleet.notify.sent import Came, Sent, later
from fleet.notify.severity import Severity
from fleet.registry.proxies import Proxies
from fleet.road.up import InboxReader
from fleet.rollouts.stops import StopKind
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

TURN = 100
"""How many events a channel is sent before others of this process's work are looked at again."""
TOGETHER = 1000
"""How many events at most are one message, which names the first of them and counts the rest."""
TOLD_BY_EVENTS = ("rollback-failed", "rollout-held")
"""Conditions that last what an event has told of at once."""


@dataclass(slots=True, kw_only=True)
class Notifier:
    """The one that tells."""

    db: Database
    opener: Opener
    settings: CentreSettings
    errands: Errands = field(default_factory=Threads)
    clock: Clock = field(default_factory=SystemClock)
    waiting: Callable[[], int | None] = lambda: None
    """How many messages of hosts wait to be read, where that is known."""
    _looked: float | None = None
    """When it last looked at the conditions, by the monotonic clock."""

    def step(self) -> None:
        """Do all that is due now; raise DatabaseUnreachable, and the next step makes it good."""
        if channels.any_channel(self.db) or followed.is_followed(self.db):
            self.look()
        while event_taking.take_events(self.db, self.settings.notify.source) == event_taking.AT_ONCE:
            pass
        if given_up := deliveries.give_up_old(self.db):
            log.warning("events given up", extra={"deliveries": given_up})
        for channel_id in deliveries.due_channels(self.db):
            self.errands.begin(f"channel {channel_id}", partial(self.send_to, channel_id))

    def look(self) -> None:
        """Compare the conditions that hold with those that were told, as often as the settings say."""
        now = self.clock.monotonic()
        if self._looked is not None and now - self._looked < self.settings.notify.look_s:
            return
        self._looked = now
        holding = active(self.db, state=self.settings.state_dir, inbox_waiting=self.waiting())
        found = [each for each in holding if each.code not in TOLD_BY_EVENTS]
        standing.note(self.db, [_seen(each) for each in found], muted=self._muted(found))

    def _muted(self, found: Sequence[Condition]) -> set[tuple[str, str]]:
        """Return the conditions about hosts under a freeze, as far as they can wait until it ends."""
        now = self.db.now()
        holding = [stop for stop in stops.stops(self.db) if stop.kind is StopKind.FREEZE and stop.holds_at(now)]
        if not holding:
            return set()
        present = hosts.present(self.db)
        frozen = {host.name for host in present if any(stop.freezes(host.name, host.labels) for stop in holding)}
        return {
            (each.code, each.subject)
            for each in found
            if each.severity is not Severity.ERROR and each.subject.partition("/")[0] in frozen
        }

    def send_to(self, channel_id: UUID) -> None:
        """Send what waits for a channel, oldest first, until it has all, does not take one, or had its turn."""
        channel = deliveries.claim_channel(self.db, channel_id)
        if channel is None:
            return
        try:
            deliveries.hold_quiet(self.db, channel)
            self._send(channel)
        finally:
            deliveries.release_channel(self.db, channel.id, gathers=channel.kind is ChannelKind.APPRISE)

    def _send(self, channel: DueChannel) -> None:
        try:
            secret = self.opener.open(channel.sealed)
        except FleetError as error:
            rows = deliveries.waiting(self.db, channel.id, 1)
            self._note(channel, rows, later(str(error)))
            return
        if channel.kind is ChannelKind.APPRISE:
            if rows := deliveries.waiting(self.db, channel.id, TOGETHER):
                told = [read(self._told(channel, row)) for row in rows]
                written = template.write(channel.template, told, channel.name)
                if written.wrong:
                    # What else is said of it may quote a field, and so a link.
                    place = written.wrong.partition(": ")[0]
                    log.warning("template not used", extra={"channel": channel.name, "place": place})
                self._note(channel, rows, by_apprise.send(secret["url"], written.message, written.format))
            return
        for row in deliveries.waiting(self.db, channel.id, TURN):
            if not self._note(channel, [row], self._post(secret, self._told(channel, row))):
                return

    def _told(self, channel: DueChannel, row: DeliveryRow) -> dict[str, Any]:
        """Return the event as the channel is sent it: with links where it may have some, which are whole nowhere but there."""
        public_url = self.settings.web.public_url
        asks = row.told["type"] == f"{PREFIX}{EventType.APPROVAL_REQUESTED}"
        if not (asks and channel.links):
            return row.told
        if not public_url:
            remedy = "set FLEET_WEB_PUBLIC_URL, for this process too"
            log.warning("links left out", extra={"channel": channel.name, "remedy": remedy})
            return row.told

        def hashed(id: UUID) -> str:
            return hash_of(self.opener.secret_of(id))

        lasts = timedelta(seconds=self.settings.notify.links_last_s)
        made = links.make_links(self.db, channel.id, row.event_id, hashed, lasts)
        if not made:
            return row.told
        urls = {each.act: url_of(public_url, each.id, self.opener.secret_of(each.id)) for each in made}
        return with_links(row.told, Links(urls=urls, until=min(each.expires_at for each in made)))

    def _post(self, secret: Mapping[str, str], told: Mapping[str, Any]) -> Came:
        return webhook.send(
            secret["url"],
            secret["secret"],
            told,
            timestamp=int(self.clock.now().timestamp()),
            proxies=Proxies.from_environment(),
        )

    def _note(self, channel: DueChannel, rows: Sequence[DeliveryRow], came: Came) -> bool:
        """Write down what came of a sending; return whether the channel may get more."""
        deliveries.note_came(self.db, channel.id, [row.event_id for row in rows], came)
        told = {"channel": channel.name, "events": [str(row.event_id) for row in rows]}
        if came.sent is Sent.TAKEN:
            log.info("told", extra=told)
        else:
            log.warning("cannot tell", extra={**told, "reason": came.reason, "came": came.sent.value})
        return came.sent in (Sent.TAKEN, Sent.REFUSED)


def _seen(condition: Condition) -> Seen:
    return Seen(
        code=condition.code,
        subject=condition.subject,
        severity=condition.severity,
        title=condition.title,
        text=condition.text,
        remedy=condition.remedy,
        since=condition.since,
    )


def run(settings: CentreSettings) -> None:
    """Tell until SIGTERM; wait for a database that is away, or of another shape."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    db = Database.open(settings.database_url)
    opener = Opener.load(settings.state_dir)
    opener.publish(settings.state_dir)
    notifier = Notifier(db=db, opener=opener, settings=settings, waiting=_inbox_of(settings))
    backoff = Backoff(stop, longest_s=LONGEST_WAIT_S)
    while not stop.is_set():
        backoff.attempt(partial(_step, notifier, stop, backoff))


LONGEST_WAIT_S = 30.0
"""The longest wait for a database that is away; it begins at one second and doubles."""


def _step(notifier: Notifier, stop: threading.Event, backoff: Backoff) -> None:
    upgrade.require_head(notifier.db)
    while not stop.is_set():
        notifier.step()
        backoff.went_well()
        stop.wait(notifier.settings.notify.every_s)


def _inbox_of(settings: CentreSettings) -> Callable[[], int | None]:
    """Return what tells how many messages wait in the inbox; None where the broker is away, which hosts fall silent by."""

    def waiting() -> int | None:
        try:
            reader = InboxReader(settings.broker_address())
            try:
                return reader.length()
            finally:
                reader.close()
        except FleetError:
            return None

    return waiting
