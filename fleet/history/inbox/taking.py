"""What hosts wrote, taken into the history: a batch is one transaction, and taking it twice changes nothing."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from fleet.errors import Refused
from fleet.history.inbox.batch import Batch, Unusable, senders
from fleet.history.inbox.commands import take_claim, take_progress, take_ready
from fleet.history.inbox.hosts import take_heartbeat, take_resolved
from fleet.history.inbox.lock import InboxLock as InboxLock
from fleet.history.inbox.lock import lock as lock
from fleet.history.inbox.outcomes import take_outcome
from fleet.history.inbox.rekeying import hear_key, take_rekey
from fleet.history.inbox.snapshots import take_snapshot
from fleet.history.mirrors.probes import take_probed
from fleet.history.noted.events import tell_updates
from fleet.history.noted.outgoing import post_all, receipts
from fleet.history.sql.database import Database
from fleet.history.tables.road import refused
from fleet.ids import new_id, uuid_of
from fleet.road.messages import Claim, Heartbeat, Outcome, Probed, Progress, Ready, Rekey, Resolved, Snapshot, Up

log = logging.getLogger(__name__)

KEPT_BYTES = 4096
"""How much of a refused message is kept for inspection."""
MOST_UNWRITABLE = 10
"""After so many messages of one host that could not be written none of it is tried any more in that batch: each costs a dozen tries,
and meanwhile all others wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A message whose signature and shape were proved."""

    id: UUID
    """The message's own id (jti)."""
    host_id: str
    """Who sent it, in hex."""
    message: Up
    received: datetime
    """When the inbox saw it, by the centre's clock."""
    kid: str = ""
    """The key that signed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """What cannot be trusted or understood."""

    raw: bytes
    reason: str
    host_id: str | None = None
    """Who sent it, in hex, where the signature proved that."""


Taken = Good | Bad


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeResult:
    """What became of a batch."""

    taken: int
    """Messages that were taken, now or before."""
    refused: int
    """Messages that were refused."""
    repeated: int = 0
    """Those of *taken* that had been taken before."""

    def __add__(self, other: "TakeResult") -> "TakeResult":
        """Return both together."""
        return TakeResult(
            taken=self.taken + other.taken,
            refused=self.refused + other.refused,
            repeated=self.repeated + other.repeated,
        )


Keeps = Callable[[Bad], bool]
"""Tells of a message that is refused whether it is kept for inspection."""


def take(db: Database, lock: InboxLock, messages: Sequence[Taken], keeps: Keeps = lambda _: True) -> TakeResult:
    """Take a batch, with all that follows from it; raises Refused where the lock was lost, DatabaseUnreachable.

    A message that cannot be written goes to ``refused``, where it *keeps* it, and spoils no other.
    """
    if not lock.held():
        raise Refused("cannot take messages: the lock of the inbox was lost; another inbox may work")
    with lock.writing() as connection:
        bad = [each for each in messages if isinstance(each, Bad)]
        # Side by side, so that those of one host that cannot be written are found without trying those of others again.
        good = sorted((each for each in messages if isinstance(each, Good)), key=lambda each: each.host_id)
        taking = _Taking(connection=connection, now=db.moment(connection), keeps=keeps)
        return taking.refuse(bad) + taking.take_or_split(good)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taking:
    """One transaction of the inbox."""

    connection: Connection
    now: datetime
    keeps: Keeps
    unwritable: Counter[str] = field(default_factory=Counter)
    """By host: how many of its messages could not be written."""

    def take_or_split(self, messages: Sequence[Good]) -> TakeResult:
        """Take *messages*; where they cannot be written, halve them until the one that is to blame stands alone."""
        if not messages:
            return TakeResult(taken=0, refused=0)
        if (host := self._spoiler(messages)) is not None:
            reason = (
                f"cannot write it: {self.unwritable[host]} others of its host could not be written, so it was not tried"
            )
            return self.refuse([_kept(each, reason) for each in messages])
        try:
            with self.connection.begin_nested():
                return self._take(messages)
        except Exception as error:
            if _is_outage(error):
                raise
            if len(messages) == 1:
                return self._cannot_write(messages[0], error)
        middle = len(messages) // 2
        return self.take_or_split(messages[:middle]) + self.take_or_split(messages[middle:])

    def refuse(self, messages: Sequence[Bad]) -> TakeResult:
        """Refuse *messages*, and write down those that are kept."""
        rows = [
            {
                "id": new_id(),
                "host_id": UUID(each.host_id) if each.host_id else None,
                "reason": each.reason.replace("\0", "")[:500],
                "raw": each.raw[:KEPT_BYTES],
                "size_bytes": len(each.raw),
                "received_at": self.now,
            }
            for each in messages
            if self.keeps(each)
        ]
        if rows:
            self.connection.execute(insert(refused), rows)
        return TakeResult(taken=0, refused=len(messages))

    def _spoiler(self, messages: Sequence[Good]) -> str | None:
        """Return the host whose messages are not tried any more, where all of these are of one."""
        host = messages[0].host_id
        spoils = self.unwritable[host] >= MOST_UNWRITABLE and messages[-1].host_id == host
        return host if spoils else None

    def _cannot_write(self, message: Good, error: Exception) -> TakeResult:
        self.unwritable[message.host_id] += 1
        log.error("message cannot be taken", exc_info=error, extra={"host": message.host_id, "id": str(message.id)})
        # Without a receipt: where the fault is the centre's own, the host repeats its outcome until it is mended.
        return self.refuse([_kept(message, f"cannot write it: {type(error).__name__}")])

    def _take(self, messages: Sequence[Good]) -> TakeResult:
        connection, now = self.connection, self.now
        hosts = [uuid_of(each.host_id) for each in messages]
        named = [(each.id, host, each.message, each.received) for each, host in zip(messages, hosts, strict=True)]
        batch = Batch.load(connection, named, now)
        given_up: list[tuple[Good, str]] = []
        for each, host, again in zip(messages, hosts, batch.repeated, strict=True):
            try:
                # An outcome's row is its own proof of having been taken, and a host that repeats it wants its receipt.
                if not again or isinstance(each.message, Outcome):
                    _dispatch(batch, host, each)
            except Unusable as why:
                given_up.append((each, str(why)))
        batch.write()
        tell_updates(connection, batch.updates)
        self._give_up(given_up)
        return TakeResult(taken=len(messages) - len(given_up), refused=len(given_up), repeated=sum(batch.repeated))

    def _give_up(self, messages: Sequence[tuple[Good, str]]) -> None:
        """Refuse messages that were proved and cannot be used; a host is told to forget an outcome, or it repeats it."""
        self.refuse([_kept(each, reason) for each, reason in messages])
        forget: dict[UUID, list[str]] = {}
        for each, _ in messages:
            if isinstance(each.message, Outcome):
                forget.setdefault(UUID(each.host_id), []).append(str(each.message.outcome.update_id))
        there = senders(self.connection, forget) if forget else {}
        told = [row for host_id, ids in forget.items() if host_id in there for row in receipts(host_id, ids, self.now)]
        post_all(self.connection, told)


def _is_outage(error: Exception) -> bool:
    """Tell whether the database, and not the message, is to blame."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # Class 54, "program limit exceeded", is about a value, such as a text too long for an index.
    about_value = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "").startswith("54")
    return isinstance(error, OperationalError | InterfaceError) and not about_value


def _dispatch(batch: Batch, host_id: UUID, taken: Good) -> None:
    sender = batch.hear(host_id)
    if taken.kid and sender.new_key == taken.kid:
        hear_key(batch, host_id, taken.kid)
    match taken.message:
        case Claim() as claim:
            if sender.lives.hear(claim.life, batch.now):
                take_claim(batch, host_id, claim.command, claim.life)
        case Ready() as ready:
            if sender.lives.hear(ready.life, batch.now):
                take_ready(batch, host_id, ready.command, ready.pulls, life=ready.life)
        case Outcome() as outcome:
            take_outcome(batch, host_id, outcome)
        case Heartbeat() as heartbeat:
            take_heartbeat(batch, host_id, heartbeat, taken.received)
        case Snapshot() as snapshot:
            take_snapshot(batch, host_id, snapshot)
        case Progress() as progress:
            take_progress(batch, host_id, progress)
        case Resolved() as resolved:
            take_resolved(batch, host_id, resolved)
        case Probed() as probed:
            take_probed(batch.connection, batch.now, host_id, probed)
        case Rekey() as rekey:
            take_rekey(batch, host_id, rekey)


def _kept(message: Good, reason: str) -> Bad:
    raw = message.message.model_dump_json().encode(errors="replace")
    return Bad(raw=raw, reason=reason, host_id=message.host_id)
