"""How the tests are shared out: what is cut, and in which order it is begun."""

from pathlib import Path

import pytest

from tests.sharing import LONGEST, missing, place_of, unit_of

ZOO = "tests/updates/test_zoo.py"


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/cli/test_words.py::test_a", "tests/cli/test_words.py"),
        ("tests/cli/test_words.py::TestA::test_b[29-x]", "tests/cli/test_words.py"),
        (f"{ZOO}::test_a[memory-1.41-plain]", f"{ZOO} on memory-1.41"),
        (f"{ZOO}::test_a[20.10-plain]", f"{ZOO} on 20.10"),
        (f"{ZOO}::test_a[26.1-a link]", f"{ZOO} on 26.1"),
        (f"{ZOO}::test_a[26.1-containerd-a link]", f"{ZOO} on 26.1-containerd"),
        (f"{ZOO}::test_a[29-no log]", f"{ZOO} on 29"),
        (f"{ZOO}::test_of_none", ZOO),
        ("tests/injection/test_injection.py::test_a[29-rm]", "tests/injection/test_injection.py"),
        ("tests/rollouts/test_mutants.py::test_a[4]", "tests/rollouts/test_mutants.py::test_a[4]"),
    ],
)
def test_what_one_process_takes_whole(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


def test_what_takes_minutes_begins_first() -> None:
    places = [place_of(f"{start}::test_a") for start in LONGEST]
    assert places == sorted(places)
    assert place_of("tests/cli/test_words.py::test_a") == len(LONGEST)
    assert place_of("tests/lab/test_demo.py::test_a") < place_of("tests/lab/test_pull.py::test_a")


def test_everything_that_is_named_is_there() -> None:
    assert missing(Path(__file__).parent.parent) == []
