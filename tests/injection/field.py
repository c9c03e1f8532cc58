"""One engine of its own on which many containers meet faults side by side."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from tests.contracts.beds import RealBed, real_bed
from tests.injection.between import UNDER_WAY_S, Meeting
from tests.injection.faults import KILLS_AGENT, OF_REBOOTS, OF_THE_ENGINE, Fault, Point
from tests.injection.scene import Scene
from tests.injection.shapes import ENDS, NETWORK, QUIET, SHAPES
from tests.lab.engines import Generation
from tests.lab.lab import Host, Lab

TOGETHER = 16
"""How many containers are under update at once; where an engine is killed, for one kill."""
ALL_THERE_S = 180.0
"""How long it may take until each of them is at its point."""
_DATA: dict[str, Any] = {"/data": {}}
_FORGET_THE_RUN = """
for place in $(grep -o ' /[^ ]*' /proc/mounts | grep -E '^ (/run/docker|/var/run/docker|/run/containerd|{data})/'); do
  umount -l $place 2>/dev/null
done
rm -rf /run/docker /run/containerd
"""
"""What a machine that was switched off and on has lost, and the namespaces that stand for it here would keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault at one point of one container's update on one engine."""

    engine: Generation
    shape: str
    fault: Fault
    point: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a case."""

    case: Case
    result: str
    """The update's result; empty where there was none."""
    broken: str
    """How the promise was broken; empty where it held."""
    seconds: float


class Field:
    """An engine, its images, and the containers that are updated on it."""

    def __init__(self, host: Host, bed: RealBed, nursery: Path) -> None:
        """Use *host*'s engine, which is empty."""
        self.host, self.bed, self._nursery = host, bed, nursery
        self._folder = host.machine.folder / "faults"
        self._folder.mkdir()
        self._numbers = count()
        self._images = (
            bed.image("one:1", Volumes=_DATA, Cmd=list(QUIET)),
            bed.image("two:1", Volumes=_DATA, Cmd=list(QUIET)),
        )
        self._ending = bed.image("ending:1", Volumes=_DATA, Cmd=list(ENDS))
        bed.network(NETWORK, "10.96.0.0/16")
        self.points = cache(self._points)

    def _points(self, shape: str) -> tuple[Point, ...]:
        """Return the points of an undisturbed update of *shape*, by carrying one out."""
        with self._scenes(shape, 1) as (scene,):
            self._arm(scene)
            outcome = scene.live()
            points = tuple(scene.between.points)
            scene.assert_promise(outcome, None)
            return points

    def run(self, cases: Sequence[Case], together: int = TOGETHER) -> list[Verdict]:
        """Let each of *cases* happen, all of one shape, *together* side by side; return what came of each."""
        alone = [case for case in cases if case.fault not in OF_THE_ENGINE]
        verdicts: list[Verdict] = []
        with self._scenes(cases[0].shape, together) as scenes:
            verdicts += self._side_by_side(scenes, alone)
            for fault in dict.fromkeys(case.fault for case in cases if case.fault in OF_THE_ENGINE):
                mine = [case for case in cases if case.fault is fault]
                for at in range(0, len(mine), together):
                    verdicts += self._at_one_kill(scenes, mine[at : at + together])
        return verdicts

    @contextmanager
    def _scenes(self, shape: str, number: int) -> Iterator[list[Scene]]:
        """Give so many containers, which are not there yet; each may be updated any number of times."""
        names = [f"{shape}-{next(self._numbers)}" for _ in range(number)]
        scenes = [Scene(self.host.socket, self._nursery, self._folder, name, SHAPES[shape]) for name in names]
        try:
            yield scenes
        finally:
            for scene in scenes:
                scene.take_down()

    def _arm(self, scene: Scene) -> None:
        """Order one more update of a container that came well out of the last one; else make it anew."""
        images = self._images if scene.shape.good else (self._images[0], self._ending)
        if not scene.sound:
            scene.set_up(*images)
        else:
            scene.order_update(images[1] if scene.look(scene.name)["Image"] == images[0] else images[0])
        scene.sound = False

    def _side_by_side(self, scenes: Sequence[Scene], cases: Sequence[Case]) -> list[Verdict]:
        """Let cases that leave the engine alone happen, each container taking the next one when it is through."""
        waiting, lock = iter(cases), Lock()

        def take_turns(scene: Scene) -> list[Verdict]:
            verdicts: list[Verdict] = []
            while True:
                with lock:
                    case = next(waiting, None)
                if case is None:
                    return verdicts
                self._arm(scene)
                verdicts.append(self._judge(scene, case))

        with ThreadPoolExecutor(len(scenes)) as pool:
            return [verdict for verdicts in pool.map(take_turns, scenes) for verdict in verdicts]

    def _judge(self, scene: Scene, case: Case) -> Verdict:
        began, result, broken = time.monotonic(), "", ""
        try:
            outcome = scene.live(case.fault, case.point)
            result = outcome.result.value
            scene.assert_promise(outcome, case.fault)
            scene.sound = True
            if not scene.between.met:
                broken = "the fault never came"
        except Exception as error:
            broken = f"{type(error).__name__}: {error}"
        # Polls may be fewer than in the undisturbed update, and what follows them then has other numbers.
        met = replace(case.point, label=scene.between.met or case.point.label)
        case = replace(case, point=met)
        return Verdict(case=case, result=result, broken=broken, seconds=time.monotonic() - began)

    def _at_one_kill(self, scenes: Sequence[Scene], cases: Sequence[Case]) -> list[Verdict]:
        """Let a container for each of *cases* come to its point, and kill the engine once for all of them."""
        meeting, mine = Meeting(), scenes[: len(cases)]
        with ThreadPoolExecutor(len(cases)) as pool:
            try:
                list(pool.map(self._arm, mine))
                for scene in mine:
                    scene.between.meeting = meeting
                ends = pool.map(self._judge, mine, cases)
                meeting.await_all(len(cases), ALL_THERE_S)
                self._kill(cases[0].fault, mine, meeting)
                return list(ends)
            finally:
                meeting.over.set()

    def _kill(self, fault: Fault, scenes: Sequence[Scene], meeting: Meeting) -> None:
        """Kill the engine, with what else *fault* kills, and start it again."""
        meeting.now.set()
        time.sleep(1.5 * UNDER_WAY_S)
        if fault in KILLS_AGENT:
            for scene in scenes:
                scene.kill_agent()
        if fault in OF_REBOOTS:
            self._switch_off()
        self.host.kill()
        meeting.over.set()
        self.host.start()
        self.host.ready()

    def _switch_off(self) -> None:
        """End everything on the engine's machine but its first process, and forget what a machine forgets."""
        machine = self.host.machine
        machine.run("sh", "-c", "kill -KILL -1", check=False)
        machine.run("sh", "-c", _FORGET_THE_RUN.replace("{data}", f"{machine.folder}/data"), check=False)


@contextmanager
def field(lab: Lab, generation: Generation, nursery: Path) -> Iterator[Field]:
    """Give an engine of its own for faults."""
    host = lab.host(f"faults-{generation.replace('.', '-')}", generation)
    with real_bed(host.engine_url) as bed:
        yield Field(host, bed, nursery)
