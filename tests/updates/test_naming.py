"""A classic image store learns the digest anew from its own registry, unless that would make every pull wait."""

import logging

import pytest

from fleet.errors import EngineError
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.source import Role
from fleet.testing.engine import MemoryEngine
from fleet.updates.naming import adopt, would_wait

MIRROR = "http://mirror.lan:5000"


def attempt(result: AttemptResult) -> Attempt:
    """Return what the mirror did."""
    return Attempt(source=MIRROR, role=Role.MIRROR, result=result)


@pytest.mark.parametrize("result", ["timeout", "stalled", "slow", "unreachable", "breaker_open"])
def test_an_engine_is_not_sent_to_its_own_mirror_that_is_silent(result: str) -> None:
    engine = MemoryEngine(mirrors=(f"{MIRROR}/",))
    assert would_wait(engine, Reference.parse("nginx:1"), [attempt(AttemptResult(result))])


@pytest.mark.parametrize("result", ["served", "not_found", "wrong_bytes", "unused"])
def test_a_mirror_that_answers_is_no_reason(result: str) -> None:
    engine = MemoryEngine(mirrors=(f"{MIRROR}/",))
    assert not would_wait(engine, Reference.parse("nginx:1"), [attempt(AttemptResult(result))])


def test_engines_ask_their_mirrors_for_docker_hub_alone_and_no_others() -> None:
    silent = [attempt(AttemptResult.TIMEOUT)]
    assert not would_wait(MemoryEngine(mirrors=(f"{MIRROR}/",)), Reference.parse("ghcr.io/org/app:1"), silent)
    assert not would_wait(MemoryEngine(), Reference.parse("nginx:1"), silent)


def test_a_digest_that_the_engine_could_not_adopt_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    digest = Digest.of(b"new")
    engine = MemoryEngine()
    engine.publish("nginx:1", str(digest))
    with caplog.at_level(logging.INFO, logger="fleet"):
        adopt(engine, Reference.parse("nginx:1"), digest)
        assert caplog.records == []
        engine.fail("pull", EngineError("cannot pull nginx: denied"))
        adopt(engine, Reference.parse("nginx:1"), digest)
    assert [record.__dict__["reason"] for record in caplog.records] == ["cannot pull nginx: denied"]
