"""The way up: each host appends signed messages to a list of its own, and the centre's inbox reads it.

No Celery worker ever reads what a host wrote.
"""

import re
from dataclasses import dataclass

from redis.exceptions import NoPermissionError

from fleet.errors import LoginRefused
from fleet.road.broker import BrokerAddress
from fleet.road.down import broker_errors
from fleet.road.names import SHARED_INBOX, host_queue, inbox_key, inbox_owner, key_owner
from fleet.road.versions import MAX_MESSAGE_BYTES

PEEK_BYTES = 16 * 1024 * 1024
"""The most that one peek takes into memory; at least one message is returned, whatever its size."""

_PEEK = """
local found, room = {}, tonumber(ARGV[3])
for k, key in ipairs(KEYS) do
  local taken, first, last = {}, '', ''
  for i = 1, tonumber(ARGV[1]) do
    local message = redis.call('LINDEX', key, -i)
    if not message then break end
    if (k > 1 or i > 1) and #message > room then room = 0 break end
    room = room - #message
    last = redis.sha1hex(message)
    if i == 1 then first = last end
    if #message > tonumber(ARGV[2]) then message = '' end
    taken[i] = message
  end
  found[k] = {first, last, taken}
  if room <= 0 then break end
end
return found
"""

_TRIM = """
local whole = 1
for k, key in ipairs(KEYS) do
  local n, first, last = tonumber(ARGV[3 * k - 2]), ARGV[3 * k - 1], ARGV[3 * k]
  local oldest, newest = redis.call('LINDEX', key, -1), redis.call('LINDEX', key, -n)
  if not oldest or not newest or redis.sha1hex(oldest) ~= first or redis.sha1hex(newest) ~= last then
    whole = 0
  else
    redis.call('LTRIM', key, 0, -n - 1)
  end
end
return whole
"""

_OWN_INBOX = re.compile(rf"{re.escape(SHARED_INBOX)}\.[0-9a-f]{{32}}".encode())

_SCAN = 5_000
"""How many keys the server looks at with one question for the lists that there are; an empty list is no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message as it lay there."""

    raw: bytes
    """Empty where it was over the size limit."""
    sender: str
    """The id of the host whose own list it came by, in hex; empty: it came by the one of all."""


class Uplink:
    """The host's end: appends to its list, and that is all it may do there."""

    def __init__(self, broker: BrokerAddress, host_id: str) -> None:
        """Prepare to send for *host_id*; it connects when it first sends."""
        self._broker = broker
        self._keys = (inbox_key(host_id), SHARED_INBOX)
        self._client = broker.client()

    def send(self, sealed: str) -> None:
        """Append one signed message; raise BrokerUnreachable where that is uncertain (appending it again does no
        harm).

        A centre of the first version lets hosts append to the one list of all alone.
        """
        own, shared = self._keys
        with broker_errors(self._broker):
            try:
                self._client.lpush(own, sealed)
            except NoPermissionError:
                self._client.lpush(shared, sealed)

    def ping(self) -> None:
        """Return where the broker answers; raise BrokerUnreachable where it does not."""
        with broker_errors(self._broker):
            self._client.ping()

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()


def lets_in(broker: BrokerAddress) -> bool:
    """Tell whether the broker takes the login of *broker* now; raise BrokerUnreachable where it does not answer."""
    client = broker.client()
    try:
        with broker_errors(broker):
            client.ping()
    except LoginRefused:
        return False
    finally:
        client.close()
    return True


@dataclass(frozen=True, slots=True)
class _Peeked:
    """What the last peek saw of one list, so that no trim takes away what was never read."""

    key: bytes
    count: int
    first: bytes
    last: bytes


class InboxReader:
    """The centre's end: look, write into SQL, then take away. Only one inbox may read at a time (the lock is in SQL)."""

    def __init__(self, broker: BrokerAddress) -> None:
        """Prepare to read every host's list on *broker*."""
        self._broker = broker
        self._client = broker.client()
        self._peeked: list[_Peeked] = []
        self._round: list[bytes] = []
        """The lists whose turn is still to come."""

    def peek(self, n: int) -> list[Letter]:
        """Return up to *n* messages, those of each host oldest first, and leave them there; raise BrokerUnreachable.

        Every host has its turn, so that what one sends keeps nobody else waiting: the lists that there are, are read
        one after the other before they are looked for again. A message over the size limit comes as empty bytes, which
        no reader trusts.
        """
        rows: list[tuple[bytes, bytes, bytes, list[bytes]]] = []
        with broker_errors(self._broker):
            self._round = self._round or self._lists()
            while self._round and not rows:
                keys = self._round[:n]
                share = -(-n // len(keys))
                found = self._client.eval(_PEEK, len(keys), *keys, share, MAX_MESSAGE_BYTES, PEEK_BYTES)
                rows = [(key, *row) for key, row in zip(keys, found, strict=False) if row[2]]
                self._round = self._round[len(found) :]
        self._peeked = [_Peeked(key, len(taken), first, last) for key, first, last, taken in rows]
        return [Letter(raw=raw, sender=inbox_owner(key.decode())) for key, _, _, taken in rows for raw in taken]

    def trim(self) -> bool:
        """Take away what the last peek returned, where it still is the oldest there; raise BrokerUnreachable.

        False means that a list changed under the reader (the broker was flushed, another inbox trims): nothing was
        taken away from it.
        """
        if not self._peeked:
            return True
        facts = [value for each in self._peeked for value in (each.count, each.first, each.last)]
        with broker_errors(self._broker):
            keys = [each.key for each in self._peeked]
            return bool(self._client.eval(_TRIM, len(keys), *keys, *facts))

    def length(self) -> int:
        """Return how many messages wait; raise BrokerUnreachable."""
        with broker_errors(self._broker):
            return sum(self._asked("LLEN", self._lists()))

    def stored_bytes(self) -> int:
        """Return how much memory all that is kept in the broker takes, and so the lists at most; raise
        BrokerUnreachable.
        """
        with broker_errors(self._broker):
            return int(self._client.info("memory")["used_memory_dataset"])

    def sizes(self) -> dict[str, int]:
        """Return how much memory is taken by what each host wrote or has not read: its list, its queue, and what it has in hand.

        In bytes, by the host (in hex; empty: the one list of all). Raise BrokerUnreachable.
        """
        with broker_errors(self._broker):
            owners = {key: owner for key in self._keys("*") if (owner := key_owner(key.decode("latin-1"))) is not None}
            found: dict[str, int] = {}
            sizes = self._asked("MEMORY USAGE", list(owners), "SAMPLES", "0")
            for owner, size in zip(owners.values(), sizes, strict=True):
                found[owner] = found.get(owner, 0) + size
            return found

    def throw_away(self, host_id: str) -> None:
        """Throw away all that a host wrote and all that waits for it (empty: the one list of all); raise BrokerUnreachable.

        What the centre had to say to it is said again.
        """
        with broker_errors(self._broker):
            own = self._keys(f"{host_queue(host_id)}*") if host_id else []
            self._client.unlink(inbox_key(host_id) if host_id else SHARED_INBOX, *own)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _lists(self) -> list[bytes]:
        """Return the keys of the lists in which something waits, sorted."""
        return sorted(key for key in self._keys(f"{SHARED_INBOX}*") if _is_inbox(key))

    def _keys(self, pattern: str) -> set[bytes]:
        return set(self._client.scan_iter(pattern, count=_SCAN))

    def _asked(self, command: str, keys: list[bytes], *more: str) -> list[int]:
        """Return what the server answers for each key; 0 where it is gone meanwhile."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command(command, key, *more)  # type: ignore[no-untyped-call]
        return [int(answer or 0) for answer in pipeline.execute()]


def _is_inbox(key: bytes) -> bool:
    return key == SHARED_INBOX.encode() or bool(_OWN_INBOX.fullmatch(key))
