"""What hosts wrote, taken into the history: a batch is one transaction, and taking it twice changes nothing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from fleet.errors import Refused
from fleet.history.database import Database
from fleet.history.events import tell_updates
from fleet.history.inbox_batch import Batch, Unusable, senders
from fleet.history.inbox_commands import take_claim, take_progress, take_ready
from fleet.history.inbox_hosts import take_heartbeat, take_resolved
from fleet.history.inbox_lock import InboxLock as InboxLock
from fleet.history.inbox_lock import lock as lock
from fleet.history.inbox_outcomes import take_outcome
from fleet.history.inbox_snapshots import take_snapshot
from fleet.history.outgoing import post_all, receipts
from fleet.history.probes import take_probed
from fleet.history.rekeying import hear_key, take_rekey
from fleet.history.road_tables import refused
from fleet.ids import new_id, uuid_of
from fleet.road.messages import Claim, Heartbeat, Outcome, Probed, Progress, Ready, Rekey, Resolved, Snapshot, Up

log = logging.getLogger(__name__)

KEPT_BYTES = 4096
"""How much of a refused message is kept for inspection."""


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
    """Messages that are in ``refused`` now."""
    repeated: int = 0
    """Those of *taken* that had been taken before."""

    def __add__(self, other: "TakeResult") -> "TakeResult":
        """Return both together."""
        return TakeResult(
            taken=self.taken + other.taken,
            refused=self.refused + other.refused,
            repeated=self.repeated + other.repeated,
        )


def take(db: Database, lock: InboxLock, messages: Sequence[Taken]) -> TakeResult:
    """Take a batch, with all that follows from it; raises Refused where the lock was lost, DatabaseUnreachable.

    A message that cannot be written is kept in ``refused`` and spoils no other.
    """
    if not lock.held():
        raise Refused("cannot take messages: the lock of the inbox was lost; another inbox may work")
    with lock.writing() as connection:
        now = db.moment(connection)
        bad = [each for each in messages if isinstance(each, Bad)]
        _refuse(connection, bad, now)
        good = [each for each in messages if isinstance(each, Good)]
        return _take_or_split(connection, good, now) + TakeResult(taken=0, refused=len(bad))


def _take_or_split(connection: Connection, messages: Sequence[Good], now: datetime) -> TakeResult:
    """Take *messages*; where they cannot be written, halve them until the one that is to blame stands alone."""
    if not messages:
        return TakeResult(taken=0, refused=0)
    try:
        with connection.begin_nested():
            return _take(connection, messages, now)
    except Exception as error:
        if _is_outage(error):
            raise
        if len(messages) == 1:
            log.exception("message cannot be taken", extra={"host": messages[0].host_id, "id": str(messages[0].id)})
            # Without a receipt: where the fault is the centre's own, the host repeats its outcome until it is mended.
            _refuse(connection, [_kept(messages[0], f"cannot write it: {type(error).__name__}")], now)
            return TakeResult(taken=0, refused=1)
    middle = len(messages) // 2
    return _take_or_split(connection, messages[:middle], now) + _take_or_split(connection, messages[middle:], now)


def _is_outage(error: Exception) -> bool:
    """Tell whether the database, and not the message, is to blame."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # Class 54, "program limit exceeded", is about a value, such as a text too long for an index.
    about_value = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "").startswith("54")
    return isinstance(error, OperationalError | InterfaceError) and not about_value


def _take(connection: Connection, messages: Sequence[Good], now: datetime) -> TakeResult:
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
    for each, reason in given_up:
        _give_up(connection, each, reason, now)
    return TakeResult(taken=len(messages) - len(given_up), refused=len(given_up), repeated=sum(batch.repeated))


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


def _give_up(connection: Connection, message: Good, reason: str, now: datetime) -> None:
    """Keep a message that was proved and cannot be used; the host is told to forget an outcome, or it repeats it."""
    _refuse(connection, [_kept(message, reason)], now)
    host_id = UUID(message.host_id)
    if isinstance(message.message, Outcome) and senders(connection, {host_id}):
        post_all(connection, receipts(host_id, [str(message.message.outcome.update_id)], now))


def _kept(message: Good, reason: str) -> Bad:
    raw = message.message.model_dump_json().encode(errors="replace")
    return Bad(raw=raw, reason=reason, host_id=message.host_id)


def _refuse(connection: Connection, messages: Sequence[Bad], now: datetime) -> None:
    rows = [
        {
            "id": new_id(),
            "host_id": UUID(each.host_id) if each.host_id else None,
            "reason": each.reason.replace("\0", "")[:500],
            "raw": each.raw[:KEPT_BYTES],
            "size_bytes": len(each.raw),
            "received_at": now,
        }
        for each in messages
    ]
    if rows:
        connection.execute(insert(refused), rows)
