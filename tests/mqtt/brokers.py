"""A real MQTT broker that a test may kill, and a client that sees what stands there, as Home Assistant would."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests import needs
from tests.controller.processes import wait_until
from tests.ports import free_port


@dataclass
class Mosquitto:
    """One broker, which keeps what stands there on the disk where the test says so."""

    folder: Path
    lines: tuple[str, ...] = ()
    """More of its configuration."""
    port: int = field(default_factory=free_port)
    keeps: bool = False
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / "mosquitto.log").read_text()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        kept = ["persistence true", f"persistence_location {self.folder}/"] if self.keeps else ["persistence false"]
        lines = self.lines or ("allow_anonymous true",)
        told = [f"listener {self.port} 127.0.0.1", "user root", *kept, *lines, ""]
        (self.folder / "mosquitto.conf").write_text("\n".join(told))
        with (self.folder / "mosquitto.log").open("ab") as out:
            before = out.tell()
            command = [needs.mosquitto(), "-c", str(self.folder / "mosquitto.conf")]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until(lambda: self._says_running(before))

    def _says_running(self, before: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return " running" in self.log[before:]

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@contextmanager
def mosquitto(folder: Path, *lines: str, keeps: bool = False) -> Iterator[Mosquitto]:
    """Run a broker."""
    broker = Mosquitto(folder, lines, keeps=keeps)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Witness:
    """A client that sees all messages, and keeps what stands."""

    def __init__(self, port: int, *, user: str = "", password: str = "", ca: Path | None = None) -> None:
        self.stands: dict[str, bytes] = {}
        """What stands there, by topic."""
        self.came: list[tuple[str, bytes]] = []
        """All that came, in its order."""
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if user:
            self._client.username_pw_set(user, password)
        if ca:
            self._client.tls_set(str(ca))
        self._client.on_message, self._client.on_subscribe = self._take, lambda *_: self._ready.set()
        self._client.on_connect = self._begin
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(20)

    def _begin(self, client: mqtt.Client, *_: Any) -> None:
        self.stands.clear()
        client.subscribe("#", options=SubscribeOptions(qos=1, retainAsPublished=True))

    def _take(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        self.came.append((message.topic, payload))
        if message.retain and payload:
            self.stands[message.topic] = payload
        elif message.retain:
            self.stands.pop(message.topic, None)

    def say(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish something."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(20)

    def document(self, topic: str) -> dict[str, Any]:
        """Return what stands at *topic*, as JSON."""
        found: dict[str, Any] = json.loads(self.stands[topic])
        return found

    def configs(self) -> dict[str, dict[str, Any]]:
        """Return what Home Assistant would discover, by unique id."""
        found = [json.loads(each) for topic, each in dict(self.stands).items() if topic.endswith("/config")]
        assert len({each["unique_id"] for each in found}) == len(found)
        return {each["unique_id"]: each for each in found}

    def named(self, name: str) -> dict[str, Any]:
        """Return the one entity that is called so."""
        (found,) = [each for each in self.configs().values() if each["name"] == name]
        return found

    def state_of(self, name: str) -> dict[str, Any]:
        """Return the state of the one entity that is called so."""
        return self.document(self.named(name)["state_topic"])

    def close(self) -> None:
        """End it."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def witness(broker: Mosquitto, **login: Any) -> Iterator[Witness]:
    """See what stands at a broker."""
    found = Witness(broker.port, **login)
    try:
        yield found
    finally:
        found.close()


def soon(holds: Callable[[], bool], step: Callable[[], object] = lambda: None, seconds: float = 30) -> None:
    """Take steps until *holds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        step()
        time.sleep(0.02)
