"""A part that is not the one that was asked for is no part, whatever the server calls it."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from fleet.gateway.verdict import of_answer
from fleet.mirrors.attempt import AttemptResult
from fleet.registry.answer import Answer

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def answer(status: int, **headers: str) -> Answer:
    """Return an answer whose body nobody reads."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, "", "", cast(Any, None))


@pytest.mark.parametrize(
    "given",
    [
        "",
        "bytes",
        "bytes */300",
        "bytes 0-199/300",
        "bytes 99-199/300",
        "bytes 101-199/300",
        "bytes 1000-1999/3000",
        "bytes -100-199/300",
        "bytes +100-199/300",
        "bytes 0x64-199/300",
        "bytes 1e2-199/300",
        "items 100-199/300",
        "bytes=100-199/300",
        "100-199/300",
        f"bytes {'1' * 5000}-199/300",
        "bytes 50-99,100-199/300",
    ],
)
def test_another_range_is_refused(given: str) -> None:
    wrong = of_answer(answer(206, content_range=given), offset=100, ranged=True, now=NOW)
    assert wrong is not None
    assert wrong.verdict.result is AttemptResult.PROTOCOL


def test_the_range_that_was_asked_for_is_taken() -> None:
    """How far it goes is judged by the bytes that come: those beyond what is missing are cut off, and fewer are a cut."""
    for given in ("bytes 100-199/300", "Bytes 100-199/*", "bytes 100-5/3"):
        assert of_answer(answer(206, content_range=given), offset=100, ranged=True, now=NOW) is None


def test_a_part_that_nobody_asked_for_is_refused() -> None:
    assert of_answer(answer(206, content_range="bytes 0-99/300"), offset=0, ranged=False, now=NOW) is not None


@pytest.mark.parametrize("status", [100, 101, 204, 226, 300, 302, 304, 418, 451, 600, 999])
def test_what_is_no_answer_is_told_as_that(status: int) -> None:
    wrong = of_answer(answer(status), offset=0, ranged=True, now=NOW)
    assert wrong is not None
    assert wrong.verdict.result in (AttemptResult.PROTOCOL, AttemptResult.SERVER_ERROR)


def test_a_proxy_that_wants_a_login_is_told_as_that() -> None:
    """The source never heard of the request, and no other one by that proxy would get there."""
    wrong = of_answer(answer(407), offset=0, ranged=False, now=NOW)
    assert wrong is not None
    assert wrong.verdict.result is AttemptResult.UNREACHABLE
    assert "proxy" in wrong.verdict.reason


@pytest.mark.parametrize("wait", ["-1", "1" * 5000, "soon", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_a_rest_that_is_none_is_no_rest(wait: str) -> None:
    wrong = of_answer(answer(429, retry_after=wait), offset=0, ranged=False, now=NOW)
    assert wrong is not None
    assert wrong.verdict.retry_after_s is None
