"""A classic image store learns the digest anew from its own registry, unless that would make every pull wait."""

import logging

import pytest

from fleet.errors import EngineError
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.source import Role
from fleet.testing.engine import MemoryEngine
from fleet.updates.naming import adopt, sweep, would_wait

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


def test_what_an_interrupted_pull_left_is_swept_and_what_has_a_tag_stays() -> None:
    """Names by digest below a registry's name are ours, unless somebody tagged the same repository."""
    engine, gateway = MemoryEngine(), "127.0.0.1:5999"
    ours, tagged, theirs = f"{gateway}/ghcr.io/org/app", f"{gateway}/ghcr.io/org/kept", f"{gateway}/app"
    for number, repository in enumerate((ours, tagged, theirs)):
        engine.publish(f"{repository}:1", str(Digest.of(bytes([number]))))
        list(engine.pull(f"{repository}@{Digest.of(bytes([number]))}"))
    engine.tag(f"{tagged}@{Digest.of(bytes([1]))}", tagged, "1")
    before = set(engine.image_names())
    assert sweep(engine, gateway) == 1
    assert before - set(engine.image_names()) == {f"{ours}@{Digest.of(bytes([0]))}"}
