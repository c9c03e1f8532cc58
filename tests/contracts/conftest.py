"""The engines that the suites of this folder and of its neighbours run over."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests import needs
from tests.contracts.beds import Bed, MemoryBed, real_bed
from tests.lab.engines import Generation, start_engine

STAND_INS = {"memory-1.41": "1.41", "memory-1.45": "1.45", "memory-1.56": "1.56"}
ALWAYS = (Generation.V20, Generation.V26_CONTAINERD)
"""The oldest, and the one whose image store differs; the others are part of the long matrix."""


def marked(generation: Generation) -> Any:
    """Return *generation* as a parameter with its marks."""
    marks = [pytest.mark.lab] if generation in ALWAYS else [pytest.mark.lab, pytest.mark.full]
    return pytest.param(generation.value, marks=marks)


ALL = [*STAND_INS, *(marked(generation) for generation in Generation)]


@pytest.fixture(scope="session")
def engines() -> Iterator[dict[str, str]]:
    """Give the URL of a real engine by its generation; it is started when it is first asked for."""
    with ExitStack() as stack:
        yield _Engines(stack)


class _Engines(dict[str, str]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, generation: str) -> str:
        needs.lab()
        Generation(generation).need()
        self[generation] = self._stack.enter_context(start_engine(generation))
        return self[generation]


@pytest.fixture(params=ALL)
def bed(request: pytest.FixtureRequest, engines: dict[str, str]) -> Iterator[Bed]:
    """Give each engine in turn, empty."""
    if request.param in STAND_INS:
        yield MemoryBed(STAND_INS[request.param])
        return
    with real_bed(engines[request.param]) as real:
        yield real
