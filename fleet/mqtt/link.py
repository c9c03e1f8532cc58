"""The connection to the MQTT broker: the one file that imports the library of it."""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fleet.errors import Unreachable
from fleet.mqtt.address import MqttAddress
from fleet.mqtt.entities import OFFLINE, ONLINE
from fleet.mqtt.place import Place

PATIENCE_S = 15.0
"""How long a broker may take for a connection, or for any answer, before it counts as away."""
MARK_S = 5.0
"""How long it may give nothing before what was behind is taken as lost."""
KEEPALIVE_S = 30
"""How often a quiet connection is tried; a broker says for us that we are away after one and a half times as long."""
WINDOW = 200
"""How many messages wait for the broker's word at once: enough to hide the way there and back."""
LARGEST = 64 * 1024
"""Bytes of a message that the broker hands on: what Fleet itself writes has one or two thousand."""
MOST_ASKED = 1000
"""How many requests may wait to be looked at; what comes beyond is dropped, since the publisher means no good."""


class Asked(NamedTuple):
    """A message that came for Fleet."""

    topic: str
    payload: bytes
    retained: bool
    """Whether it is to stand there: then it comes again with each connection, long after somebody meant it."""


class Link:
    """One connection, from its beginning to its end; whoever lost it makes another."""

    def __init__(self, address: MqttAddress, place: Place, wake: Callable[[], object]) -> None:
        """Prepare; *wake* is called from another thread where something came, or the connection is lost."""
        self._address, self._place, self._wake = address, place, wake
        self._changed = threading.Condition()
        self._connected = False
        self._lost = ""
        self._unacked = 0
        self._found: dict[str, bytes] | None = None
        self._marks: SimpleQueue[bytes] = SimpleQueue()
        self.asked: Queue[Asked] = Queue(MOST_ASKED)
        """What came, and was not looked at yet."""
        self.refused = ""
        """Why the broker did not take something, or did not give it; empty: it did all that it was asked."""
        self.denied = False
        """Whether the broker was told that Fleet is away, though it is here."""
        self._client = self._prepared()

    def connect(self) -> None:
        """Connect, and say that Fleet is here; raise Unreachable."""
        try:
            self._client.connect(
                self._address.host, self._address.port, keepalive=KEEPALIVE_S, clean_start=True, properties=_bounded()
            )
        except (OSError, ValueError) as error:
            raise self._away(str(error)) from error
        self._client.loop_start()
        try:
            self._wait(lambda: self._connected, "it does not answer")
            self._subscribe([self._place.installs, self._place.status])
            self._subscribe([self._place.mark], echo=True)
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Raise Unreachable where the connection does not hold any more."""
        if self._lost:
            raise self._away(self._lost)

    def publish(self, topic: str, payload: bytes) -> None:
        """Let *payload* stand at *topic*, nothing where it is empty; raise Unreachable. It is sent some time later."""
        self._wait(lambda: self._unacked < WINDOW, "it does not take what it is sent")
        with self._changed:
            self._unacked += 1
        sent = self._client.publish(topic, payload, qos=1, retain=True)
        if sent.rc != mqtt.MQTT_ERR_SUCCESS:
            raise self._away(self._lost or mqtt.error_string(sent.rc))

    def settle(self) -> None:
        """Wait until the broker has taken all that was sent; raise Unreachable."""
        while (before := self._unacked) > 0:
            self._wait(lambda before=before: self._unacked < before, "it does not take what it is sent")  # type: ignore[misc]

    def learn(self, filters: Sequence[str]) -> Mapping[str, bytes] | None:
        """Return what stands below *filters*; None where that is not known for sure. Raise Unreachable.

        A broker holds only so much back for one client: of a thousand messages at once some are lost, and the mark behind
        them with them.
        """
        mark = secrets.token_hex(16).encode()
        self._found = {}
        try:
            self._subscribe(filters)
            self._client.publish(self._place.mark, mark, qos=1)
            with self._changed:
                self._unacked += 1
            came = self._marked(mark)
            return dict(self._found) if came else None
        finally:
            self._found = None
            self._client.unsubscribe(list(filters))

    def close(self) -> None:
        """Say that Fleet is away, and end the connection; may be called at any time."""
        if self._connected and not self._lost:
            with suppress(RuntimeError, ValueError):  # lost meanwhile: then the broker says it
                self._client.publish(self._place.status, OFFLINE, qos=1, retain=True).wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _prepared(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"fleet-{self._place.topic}",  # who takes over ends a connection that hangs
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,  # whoever may speak for the fleet is decided anew
        )
        client.connect_timeout = PATIENCE_S
        if self._address.user:
            client.username_pw_set(self._address.user, self._address.password or None)
        if (context := self._address.tls()) is not None:
            client.tls_set_context(context)
        client.will_set(self._place.status, OFFLINE, qos=1, retain=True)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_message, client.on_subscribe = (
            self._on_publish,
            self._on_message,
            self._on_subscribe,
        )
        return client

    def _subscribe(self, filters: Sequence[str], *, echo: bool = False) -> None:
        options = SubscribeOptions(qos=1, noLocal=not echo, retainAsPublished=True)
        code, _ = self._client.subscribe([(each, options) for each in filters])
        if code != mqtt.MQTT_ERR_SUCCESS:
            raise self._away(self._lost or mqtt.error_string(code))

    def _marked(self, mark: bytes) -> bool:
        """Wait for a mark; tell whether it came, and not another one's or none."""
        while not self._lost:
            try:
                if self._marks.get(timeout=MARK_S) == mark:
                    return True
            except Empty:
                return False
        raise self._away(self._lost)

    def _wait(self, holds: Callable[[], bool], why: str) -> None:
        """Wait until *holds*; raise Unreachable that says *why* where that takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._lost) or holds(), PATIENCE_S)
            if self._lost or not holds():
                raise self._away(self._lost or why)

    def _away(self, reason: str) -> Unreachable:
        return Unreachable(f"cannot tell Home Assistant anything: the MQTT broker {self._address}: {reason}")

    # The library calls these in a thread of its own.

    def _on_connect(self, _c: Any, _u: Any, _flags: Any, code: ReasonCode, _p: Properties | None) -> None:
        with self._changed:
            self._connected = not code.is_failure
            if code.is_failure:
                self._lost = f"it refuses the connection: {code}"
            self._changed.notify_all()

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, code: ReasonCode, _p: Properties | None) -> None:
        with self._changed:
            self._lost = self._lost or f"it ended the connection: {code}"
            self._changed.notify_all()
        self._marks.put(b"")
        self._wake()

    def _on_publish(self, _c: Any, _u: Any, _mid: int, code: ReasonCode, _p: Properties | None) -> None:
        with self._changed:
            self._unacked -= 1
            if code.is_failure:
                self.refused = (
                    f"it does not take what is sent: {code}; may {self._address.user or 'anybody'} write there?"
                )
            self._changed.notify_all()

    def _on_subscribe(self, _c: Any, _u: Any, _mid: int, codes: Sequence[ReasonCode], _p: Properties | None) -> None:
        for code in codes:
            if code.is_failure:
                self.refused = f"it does not let {self._address.user or 'anybody'} read: {code}"

    def _on_message(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        if message.topic == self._place.mark:
            self._marks.put(payload)
        elif message.topic == self._place.status:
            self.denied = self.denied or payload != ONLINE
        elif (found := self._found) is not None and message.retain:
            found[message.topic] = payload
        elif self._place.asked(message.topic):
            try:
                self.asked.put_nowait(Asked(message.topic, payload, message.retain))
            except Full:
                return
            self._wake()


def _bounded() -> Properties:
    """Return what keeps what others write there from filling this process."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = LARGEST
    return properties
