"""The way up: hosts append signed messages to a list, and the centre's inbox reads it.

No Celery worker ever reads what a host wrote.
"""

from dataclasses import dataclass

from redis.exceptions import AuthenticationError

from fleet.errors import BrokerUnreachable
from fleet.road.broker import BrokerAddress
from fleet.road.down import broker_errors
from fleet.road.messages import MAX_MESSAGE_BYTES
from fleet.road.names import inbox_key

PEEK_BYTES = 16 * 1024 * 1024
"""The most that one peek takes into memory; at least one message is returned, whatever its size."""

_PEEK = """
local taken, bytes, first, last = {}, 0, '', ''
for i = 1, tonumber(ARGV[1]) do
  local message = redis.call('LINDEX', KEYS[1], -i)
  if not message then break end
  bytes = bytes + #message
  if i > 1 and bytes > tonumber(ARGV[3]) then break end
  last = redis.sha1hex(message)
  if i == 1 then first = last end
  if #message > tonumber(ARGV[2]) then message = '' end
  taken[i] = message
end
return {first, last, taken}
"""

_TRIM = """
local first = redis.call('LINDEX', KEYS[1], -1)
local last = redis.call('LINDEX', KEYS[1], -tonumber(ARGV[1]))
if not first or not last or redis.sha1hex(first) ~= ARGV[2] or redis.sha1hex(last) ~= ARGV[3] then return 0 end
redis.call('LTRIM', KEYS[1], 0, -tonumber(ARGV[1]) - 1)
return 1
"""


class Uplink:
    """The host's end: appends to the inbox, and that is all it may do there."""

    def __init__(self, broker: BrokerAddress, host_id: str) -> None:
        """Prepare to send for *host_id*; it connects when it first sends."""
        self._broker = broker
        self._key = inbox_key(host_id)
        self._client = broker.client()

    def send(self, sealed: str) -> None:
        """Append one signed message; raise BrokerUnreachable where that is uncertain (appending it again does no
        harm).
        """
        with broker_errors(self._broker):
            self._client.lpush(self._key, sealed)

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
    except BrokerUnreachable as error:
        if isinstance(error.__cause__, AuthenticationError):
            return False
        raise
    finally:
        client.close()
    return True


@dataclass(frozen=True, slots=True)
class _Peeked:
    """What the last peek saw, so that no trim takes away what was never read."""

    first: bytes = b""
    last: bytes = b""


class InboxReader:
    """The centre's end: look, write into SQL, then take away. Only one inbox may read at a time (the lock is in SQL)."""

    def __init__(self, broker: BrokerAddress, key: str = "fleet.inbox") -> None:
        """Prepare to read *key* on *broker*."""
        self._broker = broker
        self._key = key
        self._client = broker.client()
        self._peeked = _Peeked()

    def peek(self, n: int) -> list[bytes]:
        """Return up to *n* messages, oldest first, and leave them there; raise BrokerUnreachable.

        A message over the size limit comes as empty bytes, which no reader trusts.
        """
        with broker_errors(self._broker):
            first, last, taken = self._client.eval(_PEEK, 1, self._key, n, MAX_MESSAGE_BYTES, PEEK_BYTES)
        self._peeked = _Peeked(first, last)
        return list(taken)

    def trim(self, n: int) -> bool:
        """Take away the *n* messages that the last peek returned, where they are still the oldest ones; raise
        BrokerUnreachable.

        False means that the list changed under the reader (the broker was flushed, another inbox trims): nothing was
        taken away.
        """
        if not n:
            return True
        with broker_errors(self._broker):
            return bool(self._client.eval(_TRIM, 1, self._key, n, self._peeked.first, self._peeked.last))

    def length(self) -> int:
        """Return how many messages wait; raise BrokerUnreachable."""
        with broker_errors(self._broker):
            return int(self._client.llen(self._key))

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()
