"""One container on a real engine, its update, and the promise that must hold after whatever happened to it."""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from docker.api.client import APIClient

from fleet.clock import SystemClock
from fleet.engine.difference import config_diff
from fleet.engine.docker import connect
from fleet.engine.protocol import CreateSpec, Inspect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Target
from fleet.updates.execute import recover
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome
from tests.injection.asking import ask
from tests.injection.between import Between
from tests.injection.faults import HANGS, OF_THE_ENGINE, Fault, Point
from tests.injection.nursery import AWAY, ORDER, OUTCOME, OUTCOME_TOLD, PID
from tests.injection.shapes import FOLLOWER, LOOSE, PATIENCE, Shape
from tests.lab.machines import eventually

UPDATE = UUID(int=2)
LIVES = 60
"""How often an agent is started again before a case is given up."""
PAUSE_S = 0.5
"""How long after an agent ended by itself the next one is started."""
SHORT_PATIENCE_S, PATIENCE_S = 4.0, 60.0
"""How long an agent waits for one answer of its engine: where the engine hangs, and as it really does."""
DISK_BYTES = 128 * 1024
"""The disk of the journal."""
UP_WITHIN_S = 180.0
"""How long the engine may take to run what it must, once it answers again."""
PRECIOUS = "precious"
_LENT = ("HostConfig.NetworkMode: ", "Config.Hostname: ")
"""What a follower has from the container that it lives in."""


class Broken(AssertionError):
    """The promise was not kept."""


class Scene:
    """A container that is updated once, with a journal on a disk of its own."""

    def __init__(self, engine_socket: Path, nursery: Path, folder: Path, name: str, shape: Shape) -> None:
        """Describe it; ``set_up`` makes it."""
        self.name, self.shape = name, shape
        self.follower = f"{name}.{FOLLOWER}"
        self.engine = connect(f"unix://{engine_socket}", PATIENCE_S)
        self.api: Any = APIClient(base_url=f"unix://{engine_socket}", version="auto", timeout=int(PATIENCE_S))
        self.disk = folder / f"{name}.disk"
        self.between = Between(folder / f"{name}.sock", str(engine_socket), name)
        self.between.kill_agent, self.between.fill_disk = self.kill_agent, self.fill_disk
        self.sound = False
        """Whether it is there, and came well out of its last update."""
        self._nursery = nursery
        self._agent = 0
        self.deaths = 0
        self.told: list[str] = []

    def set_up(self, old_image: str, new_image: str) -> None:
        """Run the container with data, and have a newer image of it there."""
        # An engine that is busy, or still removes, gives the name free only later.
        eventually("that nothing of it is left", self._tear_down, within_s=PATIENCE_S)
        self.disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "fleet-faults", self.disk], check=True)
        self.engine.tag(old_image, self.name, "1")
        connected: tuple[tuple[str, dict[str, Any]], ...] = tuple((network, {}) for network in self.shape.networks)
        body = {"Image": f"{self.name}:1"} | dict(self.shape.body)
        made = self.engine.create(CreateSpec(name=self.name, body=body, connect=connected))
        self.engine.start(made)
        self.volume = next(mount["Name"] for mount in self.look(made)["Mounts"])
        self._data().write_text(PRECIOUS)
        if self.shape.loose:
            self.engine.write_files(made, "/etc", _tar(LOOSE.rpartition("/")[2], PRECIOUS))
        if self.shape.follower:
            self._run_follower(old_image)
        self.order_update(new_image)

    def _run_follower(self, image: str) -> None:
        """Run a container that lives in the network of this one, from an image that stays as it is."""
        self.engine.tag(image, self.follower, "1")
        host = {"NetworkMode": f"container:{self.name}", "RestartPolicy": {"Name": "always"}}
        body = PATIENCE | {"Image": f"{self.follower}:1", "HostConfig": host}
        self.engine.start(self.engine.create(CreateSpec(name=self.follower, body=body)))

    def order_update(self, new_image: str) -> None:
        """Have an update of the container, as it runs now, to *new_image* ordered; nothing is known of earlier ones."""
        self.before = self.look(self.name)
        self.engine.tag(new_image, self.name, "1")
        self.old_image, self.new_image = self.before["Image"], new_image
        shutil.rmtree(self.disk / "journal", ignore_errors=True)
        names = {self.before["Id"]: "old"}
        if self.shape.follower:
            self.follower_before = self.look(self.follower)
            names[self.follower_before["Id"]] = FOLLOWER
        self.between.begin(names)
        self._hooks().unlink(missing_ok=True)
        self.deaths, self.told = 0, []
        self.order = ORDER.dump_json((self._target(), self.shape.policy, self._pull())).decode()

    def take_down(self) -> None:
        """Remove all of it but its volume, which others look after."""
        self.between.close()
        self._tear_down()
        self.engine.close()
        self.api.close()

    def _tear_down(self) -> bool:
        """Remove all of it, and return whether nothing is left."""
        gone = False
        with suppress(Exception):
            for found in self.rows():
                self.engine.remove(found["Id"], force=True)
            gone = not self.rows()
        subprocess.run(["umount", "--lazy", self.disk], check=False, stderr=subprocess.DEVNULL)
        return gone

    def look(self, container: str) -> Inspect:
        """Return the inspect of a container that is there."""
        found = self.engine.inspect(container)
        if found is None:
            raise Broken(f"{container} is not there")
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return what the engine lists of this scene's containers, running or not."""
        # Each time by a connection of its own: the engine may have been another process a moment ago.
        query = urlencode({"all": 1, "filters": json.dumps({"name": [self.name]})})
        rows = json.loads(ask(self.between.engine, "GET", f"/containers/json?{query}")[1])
        return [row for row in rows if any(name.lstrip("/").split(".")[0] == self.name for name in row["Names"])]

    def kill_agent(self) -> None:
        """End the agent as a power cut would."""
        if self._agent:
            with suppress(ProcessLookupError):
                os.kill(self._agent, signal.SIGKILL)
            self.deaths += 1

    def fill_disk(self) -> None:
        """Leave no room on the journal's disk."""
        with suppress(OSError), (self.disk / "filler").open("ab", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)

    def live(self, fault: Fault | None = None, point: Point | None = None) -> UpdateOutcome:
        """Let agents live one after the other until one has the outcome, with *fault* at *point* on the way."""
        self.between.fault, self.between.at = fault, -1 if point is None else point.number
        for _ in range(LIVES):
            kind, told = self._one_life(SHORT_PATIENCE_S if fault in HANGS else PATIENCE_S)
            self.told.append(kind)
            if kind == OUTCOME_TOLD:
                return OUTCOME.validate_python(told)
            if kind not in ("", AWAY):
                raise Broken(f"the agent ended by itself: {told}")
            if kind == AWAY:
                time.sleep(PAUSE_S)
        raise Broken(f"no agent came to an end: {self.told}")

    def _one_life(self, timeout_s: float) -> tuple[str, Any]:
        asked = {"between": str(self.between.path), "journal": str(self.disk / "journal"), "order": self.order}
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._nursery))
            with line.makefile("rw") as words:
                words.write(json.dumps(asked | {"timeout_s": timeout_s}) + "\n")
                words.flush()
                self._agent = json.loads(words.readline())[PID]
                last = words.readline()
                self._agent = 0
                return next(iter(json.loads(last).items())) if last else ("", None)

    def assert_promise(self, outcome: UpdateOutcome, fault: Fault | None) -> None:
        """Assert that exactly one of the two runs, as it should, that it says which, and that it says so once."""
        eventually("an answer of the engine", self._engine_answers, within_s=UP_WITHIN_S)
        self._await_the_one(outcome)
        if fault is Fault.FULL:
            # The disk is full still: the next start may know nothing, and must break nothing.
            self._recovered()
            self._assert_one(outcome, fault)
            (self.disk / "filler").unlink(missing_ok=True)
        again = self._recovered()
        self._await_the_one(again[0] if again else outcome)
        self._assert_one(again[0] if again else outcome, fault)
        if fault is not Fault.FULL and again != [outcome]:
            raise Broken(f"{outcome.result} was told, and then {[one.result for one in again]}")
        Journal(self.disk / "journal").forget(UPDATE)
        if self._recovered():
            raise Broken("what was taken over was told again")
        if left := Journal(self.disk / "journal").leftovers():
            raise Broken(f"left over: {left}")
        self._assert_one(again[0] if again else outcome, fault)

    def _engine_answers(self) -> bool:
        try:
            return ask(self.between.engine, "GET", "/_ping")[0] == http.client.OK
        except OSError:
            return False

    def _recovered(self) -> list[UpdateOutcome]:
        """Return what the next start of the agent tells."""
        return [told for _, told in recover(self.engine, Journal(self.disk / "journal"), SystemClock())]

    def _await_the_one(self, outcome: UpdateOutcome) -> None:
        """Wait until the engine, which may have been killed, runs what its policies say."""
        ends = time.monotonic() + UP_WITHIN_S
        while not self._gone_with_the_engine(outcome) and time.monotonic() < ends:
            if any(row["State"] == "running" for row in self.rows()):
                return
            time.sleep(0.2)

    def _gone_with_the_engine(self, outcome: UpdateOutcome) -> bool:
        """Tell whether the engine itself ended the container before the update was begun: that is not Fleet's to mend."""
        return outcome.result is Result.SKIPPED and self.between.fault in OF_THE_ENGINE and not self.shape.outlives

    def _assert_one(self, outcome: UpdateOutcome, fault: Fault | None) -> None:
        if self._gone_with_the_engine(outcome):
            return
        rows, told = self.rows(), f"{outcome.result}: {outcome.reason}"
        names = sorted(row["Names"] for row in rows)
        if names != [[f"/{name}"] for name in (self.name, self.follower)[: 1 + self.shape.follower]]:
            raise Broken(f"there are {names}; {told}")
        web = self.look(self.name)
        if outcome.result not in self._allowed(fault):
            raise Broken(told)
        expected = self.new_image if outcome.result is Result.UPDATED else self.old_image
        if web["Image"] != expected:
            raise Broken(f"another image runs than was told; {told}")
        if not web["State"]["Running"] or web["State"].get("Paused"):
            raise Broken(f"it does not run: {web['State']}; {told}")
        if differs := config_diff(self.before, web):
            raise Broken(f"it came back different: {differs}; {told}")
        self._assert_data(web, outcome, fault, told)
        if self.shape.follower:
            self._assert_follows(self.look(self.follower), web, told)
        if self.shape.hooks:
            self._assert_hooks(outcome, told)

    def _assert_follows(self, kid: Inspect, web: Inspect, told: str) -> None:
        """Assert that the follower is what it was, runs, and lives in the container that runs now."""
        if not kid["State"]["Running"] or kid["Image"] != self.follower_before["Image"]:
            raise Broken(f"the follower does not run as it was: {kid['State']}; {told}")
        if kid["HostConfig"]["NetworkMode"] != f"container:{web['Id']}":
            raise Broken(f"the follower lives in another container: {kid['HostConfig']['NetworkMode']}; {told}")
        if kid["State"]["StartedAt"] < web["State"]["StartedAt"]:
            raise Broken(f"the follower was started before what it lives in, and lives in nothing; {told}")
        differs = [line for line in config_diff(self.follower_before, kid) if not line.startswith(_LENT)]
        if differs:
            raise Broken(f"the follower came back different: {differs}; {told}")

    def _assert_hooks(self, outcome: UpdateOutcome, told: str) -> None:
        """Assert that none ran twice, and that nothing was updated without the hook before."""
        ran = self._hooks().read_text().split() if self._hooks().exists() else []
        allowed = (["pre"], ["pre", "post"]) if outcome.result is Result.UPDATED else ([], ["pre"])
        if ran not in allowed:
            raise Broken(f"of the hooks these ran: {ran}; {told}")

    def _allowed(self, fault: Fault | None) -> tuple[Result, ...]:
        back = (Result.ROLLED_BACK, Result.FAILED)
        if fault is None:
            return (Result.UPDATED,) if self.shape.good else (Result.ROLLED_BACK,)
        return (Result.UPDATED, *back) if self.shape.good else back

    def _assert_data(self, web: Inspect, outcome: UpdateOutcome, fault: Fault | None, told: str) -> None:
        if [mount["Name"] for mount in web["Mounts"]] != [self.volume]:
            raise Broken(f"it has other volumes: {web['Mounts']}; {told}")
        lost_by_engine = fault in OF_THE_ENGINE and not self.shape.outlives
        if not lost_by_engine and self._data().read_text() != PRECIOUS:
            raise Broken(f"its data is gone; {told}")
        if self.shape.loose and self._loose(web["Id"]) != PRECIOUS:
            raise Broken(f"its loose file is gone; {told}")

    def _data(self) -> Path:
        return Path(self.api.inspect_volume(self.volume)["Mountpoint"]) / "kept"

    def _hooks(self) -> Path:
        return self._data().with_name("hooks")

    def _loose(self, container: str) -> str:
        packed = self.engine.read_files(container, LOOSE, most_bytes=1 << 20)
        return _untar(packed)

    def _target(self) -> Target:
        return Target(
            update_id=UPDATE,
            container_id=self.before["Id"],
            container=self.name,
            image_id=self.old_image,
            reference=Reference.parse(f"{self.name}:1"),
            digest=Digest.of(self.new_image.encode()),
        )

    def _pull(self) -> PullOutcome:
        digest = str(Digest.of(self.new_image.encode()))
        return PullOutcome(
            pull_id=UUID(int=3),
            reference=f"{self.name}:1",
            digest=digest,
            ok=True,
            tier=Tier.PRESENT,
            image_id=self.new_image,
        )


def _tar(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _untar(packed: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = tar.extractfile(tar.getmembers()[0])
        return found.read().decode() if found else ""
