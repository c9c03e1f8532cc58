"""The inbox: reads what hosts wrote, proves it, and takes it into the history, a batch at a time. It holds no key.

Nothing is taken away from the broker before it stands in SQL, and taking it twice changes nothing; so whatever is
away at whatever moment, nothing is lost.
"""

import logging
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial

from fleet.clock import Clock, SystemClock
from fleet.controller.allowance import Allowance, Meter
from fleet.controller.backoff import Backoff
from fleet.errors import BadInput, Refused, TimedOut, Unreachable, Untrusted
from fleet.history.inbox import taking as history
from fleet.history.inbox.taking import Bad, Good, InboxLock, Taken
from fleet.history.inventory import hosts, logins
from fleet.history.sql.database import Database
from fleet.history.upkeep import upgrade
from fleet.road.envelope import KeyOwner, open_up
from fleet.road.keys import PublicKey
from fleet.road.up import InboxReader, Letter
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

LOCK_WAIT_S = 2.0
"""How long one wait for another inbox's end lasts; then the end of this process is looked at."""


class Inbox:
    """One reader of the list, under the lock that lets only one work."""

    def __init__(
        self,
        db: Database,
        reader: InboxReader,
        lock: InboxLock,
        *,
        batch: int = 500,
        clock: Clock | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        """Prepare to read; nothing is asked before the first step."""
        self._db = db
        self._reader = reader
        self._lock = lock
        self._batch = batch
        self._clock = clock or SystemClock()
        self._meter = Meter(allowance=allowance or Allowance())

    def step(self) -> int:
        """Take one batch; return how many messages it had, 0 where none waited.

        Raise BrokerUnreachable, DatabaseUnreachable (nothing was taken away) and Refused where the lock was lost.
        """
        raw = self._reader.peek(self._batch)
        if not raw:
            return 0
        allowed, ended = self._meter.allowed(raw, self._clock.monotonic())
        proved = prove(allowed, self._key_owner(), self._clock.now())
        result = history.take(self._db, self._lock, proved, keeps=self._meter.keeps)
        if result.refused:
            log.warning("messages refused", extra={"count": result.refused})
        self._shut_out(ended)
        if not self._lock.held():
            raise Refused("cannot trim the inbox: its lock was lost; another inbox may read it")
        if not self._reader.trim():
            log.warning("inbox changed while it was read, reading it again")
        return len(raw)

    def _shut_out(self, hosts: Sequence[str]) -> None:
        """Note who said too much; the planner has the broker know it when it next compares its users with the hosts."""
        if hosts:
            logins.mute(self._db, hosts)
            log.error("hosts said too much", extra={"hosts": list(hosts)})

    def _key_owner(self) -> KeyOwner:
        """Return who owns a key, each asked for once a batch: a key that was revoked holds no longer than that."""
        known: dict[str, tuple[str, PublicKey] | None] = {}

        def owner(kid: str) -> tuple[str, PublicKey] | None:
            if kid not in known:
                found = hosts.key_owner(self._db, kid)
                known[kid] = (found[0], PublicKey.parse(found[1])) if found else None
            return known[kid]

        return owner


def prove(raw: Sequence[Letter], owner: KeyOwner, now: datetime) -> list[Taken]:
    """Return each message, proved and read, or what is wrong with it."""
    return [_proved(each, owner, now) for each in raw]


def _proved(letter: Letter, owner: KeyOwner, now: datetime) -> Taken:
    # Only its host may append to a list, so even what nobody can read has a sender.
    raw, sender = letter.raw, letter.sender or None
    try:
        opened = open_up(raw, keys=owner)
    except (Untrusted, BadInput) as error:
        return Bad(raw=raw, reason=str(error), host_id=sender)
    except Unreachable:
        raise  # the owner of its key could not be looked up: that says nothing about the message
    except Exception as error:
        # Whatever a host thought of that nobody here did: it must cost its own message and nothing else.
        log.exception("message cannot be read")
        return Bad(raw=raw, reason=f"cannot read this message: {type(error).__name__}", host_id=sender)
    if sender not in (None, opened.issuer):
        return Bad(raw=raw, reason="cannot trust this message: it came by the list of another host", host_id=sender)
    return Good(id=opened.id, host_id=opened.issuer, message=opened.message, received=now, kid=opened.kid)


def run(settings: CentreSettings) -> None:
    """Read until SIGTERM. Where another inbox works, wait for its end; raise Refused for a database of another shape."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    db = Database.open(settings.database_url)
    reader = InboxReader(settings.broker_address())
    backoff = Backoff(stop, longest_s=settings.inbox.retry_s)
    while not stop.is_set():
        backoff.attempt(partial(_read, db, reader, settings, stop, backoff))


def _read(db: Database, reader: InboxReader, settings: CentreSettings, stop: threading.Event, backoff: Backoff) -> None:
    """Read under one hold of the lock, until it is lost, a server is away, or the end."""
    upgrade.require_head(db)
    with ExitStack() as stack:
        lock = _lock(stack, db, settings, stop)
        if lock is None:
            return
        log.info("inbox reads")
        inbox = Inbox(db, reader, lock, batch=settings.inbox.batch)
        while not stop.is_set():
            if not inbox.step():
                stop.wait(settings.inbox.idle_s)
            backoff.went_well()


def _lock(stack: ExitStack, db: Database, settings: CentreSettings, stop: threading.Event) -> InboxLock | None:
    """Return the lock, held until *stack* ends; None where the process ends before another inbox does."""
    while not stop.is_set():
        with suppress(TimedOut):
            return stack.enter_context(history.lock(db, state_dir=settings.state_dir, wait_s=LOCK_WAIT_S))
    return None
