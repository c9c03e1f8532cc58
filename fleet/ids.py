"""Identifiers: UUIDv7, made by the centre alone, so that sorting by id is sorting by the centre's time (RFC 9562)."""

import os
import threading
import time
from uuid import UUID, SafeUUID

SHORT_DIGITS = 8
"""How many hex digits people call an id by."""
_COUNTER_BITS = 42
_TAIL_BYTES = 4
_LOCK = threading.Lock()
_UNKNOWN = SafeUUID.unknown
"""Kept: to ask an enum for a member takes longer than all else that is done to make a UUID."""
_last_ms = 0
_counter = 0


def new_id() -> UUID:
    """Return a new UUIDv7. Only the centre may call this: a host's clock never makes the id of a fact."""
    return uuid7()


def uuid7() -> UUID:
    """Return a UUID of version 7 that sorts after all that this process made before.

    Ids of one millisecond are told apart by a counter (RFC 9562, 6.2, method 1): one that moves the time on instead would,
    where thousands of hosts are dispatched in a second, run minutes ahead of the clock.
    """
    global _last_ms, _counter
    drawn = os.urandom(_TAIL_BYTES + 6)
    with _LOCK:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            # Half of the counter is left to count on.
            _last_ms, _counter = now_ms, int.from_bytes(drawn[_TAIL_BYTES:]) & (1 << _COUNTER_BITS - 1) - 1
        else:
            _counter += 1
        ms, count = _last_ms, _counter
    high, low = count >> 30, count & (1 << 30) - 1
    tail = int.from_bytes(drawn[:_TAIL_BYTES])
    return of_number(ms << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low << 32 | tail)


def of_number(number: int) -> UUID:
    """Return the UUID of a number below 2**128 that is known to be one.

    A third of the time that its own constructor takes, which looks for six other ways to be called; a row holds some.
    """
    made: UUID = object.__new__(UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def uuid_of(text: str) -> UUID:
    """Return the UUID that *text* writes as :class:`uuid.UUID` or its hex do; raises ValueError for another text.

    What is known to be one: half of the time of the constructor, which takes braces and other spellings too.
    """
    return of_number(int(text.replace("-", ""), 16))


def short(id: UUID) -> str:
    """Return the last hex digits: the first 12 are time, so that prefixes of neighbours collide."""
    return id.hex[-SHORT_DIGITS:]
