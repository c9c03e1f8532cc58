"""What a process says: one line an event, the same for our own words and the libraries'."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from fleet.settings import logs


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_off_a_terminal_each_event_is_one_json_line() -> None:
    out = io.StringIO()
    logs.set_up("planner", stream=out)
    logging.getLogger("fleet.x").warning("tag cannot be checked", extra={"image": "nginx", "process_id": 7})
    structlog.get_logger().info("ticked", rollout="42")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["event"] == "tag cannot be checked"
    assert (first["image"], first["process"], first["level"], first["logger"]) == (
        "nginx",
        "planner",
        "warning",
        "fleet.x",
    )
    assert (second["event"], second["rollout"], second["process"]) == ("ticked", "42", "planner")


def test_for_people_a_line_is_readable() -> None:
    out = io.StringIO()
    logs.set_up("inbox", format="console", stream=out)
    logging.getLogger("fleet.x").warning("broker away", extra={"reason": "refused"})
    assert "broker away" in out.getvalue()
    assert "{" not in out.getvalue()


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b2J", "x\n2026-11-27 [info] all is well", "\u202e", "\ud800"])
def test_what_others_said_steers_no_terminal_and_makes_no_line(hostile: str) -> None:
    out = io.StringIO()
    logs.set_up("agent", format="console", stream=out)
    logging.getLogger("fleet.x").warning("mirror %s", hostile, extra={"reason": hostile})
    assert hostile not in out.getvalue()
    assert out.getvalue().count("\n") == 1
    out.getvalue().encode()


def test_an_exception_stays_one_line() -> None:
    out = io.StringIO()
    logs.set_up("inbox", format="json", stream=out)
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("fleet.x").exception("tick failed")
    (line,) = out.getvalue().splitlines()
    assert "ValueError: x" in json.loads(line)["exception"]


def test_what_is_below_the_level_is_not_told() -> None:
    out = io.StringIO()
    logs.set_up("inbox", level="WARNING", format="json", stream=out)
    logging.getLogger("fleet.x").info("nothing")
    structlog.get_logger().info("nothing")
    assert out.getvalue() == ""


def test_loud_libraries_are_heard_from_warnings_on() -> None:
    out = io.StringIO()
    logs.set_up("inbox", format="json", stream=out)
    logging.getLogger("httpx2").info("GET /")
    assert out.getvalue() == ""
