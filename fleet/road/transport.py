"""The single-consumer transport: kombu's Redis transport for a queue that exactly one worker reads.

With one consumer, whatever is unacknowledged when that consumer starts was left by a worker that died, so it is put
back once, then. Stock kombu instead puts a message back when it is older than a timeout: too early for a task that
runs long (started again beside itself), too late after a crash, and with Lua, which a host must not be allowed. Only
WATCH, MULTI and plain commands on the host's own keys are used.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import Any, cast

from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as stock
from redis.exceptions import NoPermissionError

from fleet.road.broker import once_more

SCHEME = "fleet"
"""The transport's own URL scheme; with ``redis://`` in the URL a transport named elsewhere is silently ignored."""

TICK_SCHEME = "fleettick"
"""That of the centre's apps."""

_in_hand: set[str] = set()
"""Delivery tags that this process has taken and not settled; kept across reconnects, so that no running task is
started again.
"""

_untold: set[str] = set()
"""Delivery tags of messages that are done with, of which the broker does not know yet; kept across reconnects, so that
nothing that is done is done again.
"""

begins_to_read: list[Callable[[], None]] = []
"""Called each time that this process begins to read its queue: at the start, and again when the broker was away."""

login: list[tuple[str, str]] = []
"""The user and password that new connections of this process use instead of those in the URL; empty: those in the URL.
"""

_heard: list[float] = []
"""When the broker answered a read last, by the monotonic clock; empty before the first answer."""


class QoS(stock.QoS):
    """Acknowledgements that never time out."""

    restore_at_shutdown = False
    channel: Any
    _quick_ack: Any
    _remove_from_indices: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Write down that *message* was taken.

        Who kept too much at the broker may write nothing there for a while: then it is known here alone, and the centre says
        again what a crash makes of no effect.
        """
        _in_hand.add(delivery_tag)
        try:
            super().append(message, delivery_tag)
        except NoPermissionError:
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that is done with, at once here, and in the broker now or before the next read.

        Kombu counts a message as in hand for ever where the broker cannot be told: one is as many as may be in hand,
        so that nothing more is read on this channel, and nobody sees that the connection is gone.
        """
        _untold.add(delivery_tag)
        _in_hand.discard(delivery_tag)
        self._quick_ack(delivery_tag)
        with suppress(*self.channel.connection_errors):
            self.tell()

    def tell(self) -> None:
        """Tell the broker what is done with; raise a connection's error where it cannot be told."""
        for tag in tuple(_untold):
            self._remove_from_indices(tag).execute()
            _untold.discard(tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message, or put it back: where the broker cannot be told, at the next start."""
        if not requeue:
            self.ack(delivery_tag)
            return
        try:
            self.restore_by_tag(delivery_tag, leftmost=True)
        finally:
            _in_hand.discard(delivery_tag)
            self._quick_ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Leave what is unacknowledged to the next start."""
        self._delivered = OrderedDict()  # tags may still be settled by their tasks

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: no message here ever times out."""

    def restore_left_over(self) -> None:
        """Put back what a dead worker had taken, the oldest to be read first."""
        self.tell()
        with self.channel.conn_or_acquire() as client:
            for tag in reversed(client.zrange(self.unacked_index_key, 0, -1)):  # no zrevrange: ACLs leave it out
                name = tag.decode() if isinstance(tag, bytes) else tag
                if name not in _in_hand:
                    self.restore_by_tag(name, client)


class Channel(stock.Channel):
    """A channel that restores when its consumer starts."""

    QoS = QoS

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Begin to read *queue*, after what a dead worker left has been put back."""
        cast(QoS, self.qos).restore_left_over()
        begun = super().basic_consume(queue, *args, **kwargs)
        for tell in begins_to_read:
            tell()
        return begun

    def _brpop_start(self, timeout: int | None = None) -> None:
        """Begin a blocking read, once the broker knows what is done with; else the connection is made anew."""
        cast(QoS, self.qos).tell()
        super()._brpop_start(timeout=timeout)  # type: ignore[misc]

    def _connparams(self, asynchronous: bool = False) -> Any:
        """Return how connections are made: those of kombu, without redis-py's sleeps between tries, as who we are now."""
        now = dict(zip(("username", "password"), login[0], strict=True)) if login else {}
        return {**super()._connparams(asynchronous=asynchronous), "retry": once_more(), **now}  # type: ignore[misc]

    def _brpop_read(self, **options: Any) -> Any:
        """Take the answer to a blocking read, and note that there was one, whether it holds a message or not."""
        try:
            taken = super()._brpop_read(**options)  # type: ignore[misc]
        except Empty:
            _heard[:] = [monotonic()]
            raise
        _heard[:] = [monotonic()]
        return taken


class Transport(stock.Transport):
    """Kombu's Redis transport with one consumer a queue."""

    Channel = Channel


class TickQoS(stock.QoS):
    """Acknowledgements of beats, of which one that is lost is made good by the next."""

    channel: Any
    _quick_ack: Any
    _remove_from_indices: Any

    def ack(self, delivery_tag: str) -> None:
        """Forget a beat, also where the broker cannot be told: else it counts as in hand for ever, as with a host's."""
        with suppress(*self.channel.connection_errors):
            self._remove_from_indices(delivery_tag).execute()
        self._quick_ack(delivery_tag)


class TickChannel(stock.Channel):
    """A channel that reads on after a loss of the broker, whenever it came."""

    QoS = TickQoS


class TickTransport(stock.Transport):
    """Kombu's Redis transport, for the queue of the tick, which several planners may read."""

    Channel = TickChannel


def register() -> None:
    """Make the schemes known to kombu; twice does no harm."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
    TRANSPORT_ALIASES[TICK_SCHEME] = f"{__name__}:TickTransport"


def last_heard() -> float | None:
    """Return when the broker answered a read last, by the monotonic clock; None: not yet, in this process."""
    return _heard[0] if _heard else None
