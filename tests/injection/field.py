"""One engine of its own on which many containers meet faults side by side."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from tests.contracts.beds import RealBed, real_bed
from tests.injection.between import UNDER_WAY_S, Meeting
from tests.injection.faults import KILLS_AGENT, OF_REBOOTS, OF_THE_ENGINE, Fault, Point
from tests.injection.scene import Scene
from tests.injection.shapes import ENDS, NETWORK, QUIET, SHAPES
from tests.lab.engines import Generation
from tests.lab.lab import Host, Lab

TOGETHER = 10
"""How many containers meet their faults at once, where the engine lives."""
AT_ONE_KILL = 24
"""How many containers are under update when an engine is killed."""
ALL_THERE_S = 60.0
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
        self._old = bed.image("old:1", Volumes=_DATA, Cmd=list(QUIET))
        self._new = {
            good: bed.image("new:1", Volumes=_DATA, Cmd=list(QUIET if good else ENDS)) for good in (True, False)
        }
        bed.network(NETWORK, "10.96.0.0/16")
        self.points = cache(self._points)

    def _points(self, shape: str) -> tuple[Point, ...]:
        """Return the points of an undisturbed update of *shape*, by carrying one out."""
        scene = self._scene(shape)
        try:
            scene.set_up(self._old, self._new[scene.shape.good])
            outcome = scene.live()
            points = tuple(scene.between.points)
            scene.assert_promise(outcome, None)
            return points
        finally:
            scene.take_down()

    def run(self, shape: str, fault: Fault, points: Sequence[Point]) -> list[Verdict]:
        """Let *fault* befall a container of *shape* at each of *points*; return what came of each."""
        cases = [Case(engine=self.host.generation, shape=shape, fault=fault, point=point) for point in points]
        if fault in OF_THE_ENGINE:
            batches = [cases[at : at + AT_ONE_KILL] for at in range(0, len(cases), AT_ONE_KILL)]
            return [verdict for batch in batches for verdict in self._with_engine(batch)]
        return self.run_mixed(cases)

    def run_mixed(self, cases: Sequence[Case]) -> list[Verdict]:
        """Let cases that leave the engine alone happen side by side."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            return list(pool.map(self._one, cases))

    def _scene(self, shape: str) -> Scene:
        name = f"{shape}-{next(self._numbers)}"
        return Scene(self.host.socket, self._nursery, self._folder, name, SHAPES[shape])

    def _one(self, case: Case) -> Verdict:
        scene = self._scene(case.shape)
        try:
            scene.set_up(self._old, self._new[scene.shape.good])
            return self._judge(scene, case)
        finally:
            scene.take_down()

    def _judge(self, scene: Scene, case: Case) -> Verdict:
        began, result, broken = time.monotonic(), "", ""
        try:
            outcome = scene.live(case.fault, case.point)
            result = outcome.result.value
            scene.assert_promise(outcome, case.fault)
            if scene.between.met != case.point.label:
                broken = f"the fault came at {scene.between.met or 'no point'}"
        except Exception as error:
            broken = f"{type(error).__name__}: {error}"
        return Verdict(case=case, result=result, broken=broken, seconds=time.monotonic() - began)

    def _with_engine(self, cases: Sequence[Case]) -> list[Verdict]:
        """Let every container of *cases* come to its point, and kill the engine once for all of them."""
        scenes, meeting = [self._scene(case.shape) for case in cases], Meeting()
        try:
            with ThreadPoolExecutor(len(cases)) as pool:
                list(pool.map(lambda scene: scene.set_up(self._old, self._new[scene.shape.good]), scenes))
                for scene in scenes:
                    scene.between.meeting = meeting
                ends = pool.map(self._judge, scenes, cases)
                meeting.await_all(len(cases), ALL_THERE_S)
                self._kill(cases[0].fault, scenes, meeting)
                return list(ends)
        finally:
            meeting.over.set()
            for scene in scenes:
                scene.take_down()

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
