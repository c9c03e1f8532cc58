"""What the centre learns from registries, by whom it asks and how often."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

import pytest

from fleet.controller import resolving
from fleet.controller.resolving import MOST_SILENT, REGISTRIES_AT_ONCE, Asking, Verdict, ask_registries
from fleet.controller.resolving_mirrors import ask_mirrors, resolving_mirrors
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.source import MirrorRule
from fleet.registry.credentials import Credentials, NoCredentials
from fleet.rollouts.trust import ORIGIN_ALONE, ResolvePolicy, WithoutOrigin
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry

NOBODY = Asking(credentials=NoCredentials())


class Known:
    """One login, everywhere."""

    async def for_host(self, host: str) -> Credentials | None:
        """Return it."""
        return Credentials(username="u", password="p")


def test_a_tag_is_asked_for_once_by_head_however_often_it_is_named() -> None:
    with ScriptedRegistry() as registry:
        digest = registry.shelf.add_image("app", "1", layers=[b"x"])
        (answer,) = ask_registries([f"{registry.host}/app:1"] * 3, NOBODY)
        assert (answer.verdict, answer.digest, answer.reason) == (Verdict.RESOLVED, str(digest), "")
        assert answer.endpoint == f"http://{registry.host}"
        assert len(registry.asked("manifests", "HEAD")) == 1
        assert not registry.asked("manifests")


def test_a_registry_that_wants_other_credentials_is_not_ours_to_ask() -> None:
    with ScriptedRegistry(access=Access(scheme="basic", username="u", password="p")) as registry:
        registry.shelf.add_image("app", "1", layers=[b"x"])
        image = f"{registry.host}/app:1"
        (refused,) = ask_registries([image], NOBODY)
        assert refused.verdict is Verdict.NOT_OURS
        assert refused.reason.startswith("cannot read")
        (let_in,) = ask_registries([image], Asking(credentials=Known()))
        assert let_in.verdict is Verdict.RESOLVED


def test_a_registry_that_cannot_be_reached_is_not_ours_to_ask() -> None:
    with ScriptedRegistry() as registry, registry.down():
        (answer,) = ask_registries([f"{registry.host}/app:1"], NOBODY)
        assert answer.verdict is Verdict.NOT_OURS


def test_a_tag_that_is_not_there_failed() -> None:
    with ScriptedRegistry() as registry:
        (answer,) = ask_registries([f"{registry.host}/app:1"], NOBODY)
        assert (answer.verdict, answer.digest) == (Verdict.FAILED, "")
        assert "it is not there" in answer.reason


def test_a_name_that_is_no_reference_failed_and_stops_nobody() -> None:
    with ScriptedRegistry() as registry:
        registry.shelf.add_image("app", "1", layers=[b"x"])
        answers = {a.image: a.verdict for a in ask_registries(["no such", f"{registry.host}/app:1"], NOBODY)}
        assert answers == {"no such": Verdict.FAILED, f"{registry.host}/app:1": Verdict.RESOLVED}


def test_a_used_up_rate_limit_ends_the_round_for_that_registry() -> None:
    with ScriptedRegistry() as registry:
        registry.faults.add(Fault.STATUS, status=429)
        images = [f"{registry.host}/app:{n}" for n in range(20)]
        answers = ask_registries(images, Asking(credentials=NoCredentials(), parallel=1))
        assert {a.verdict for a in answers} == {Verdict.FAILED}
        assert len(registry.log) == 1


class Hung:
    """A server on every address of the loopback that takes connections and never says a word."""

    def __init__(self) -> None:
        self.taken = 0
        """Connections so far."""
        self._listening = socket.create_server(("", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listening, *self._open):
            each.close()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                self._open.append(self._listening.accept()[0])
                self.taken += 1


def test_registries_that_never_answer_keep_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One host could name thousands of them; a round waited for eight at once, and its other answers for all of them."""
    monkeypatch.setattr(resolving, "TAG_LIMIT_S", 3.0)
    with Hung() as hung, ScriptedRegistry() as registry:
        digest = registry.shelf.add_image("app", "1", layers=[b"x"])
        images = [f"127.0.1.{n}:{hung.port}/app:1" for n in range(1, REGISTRIES_AT_ONCE)]
        began = time.monotonic()
        answers = ask_registries([f"{registry.host}/app:1", *images], Asking(credentials=NoCredentials(), parallel=1))
        took = time.monotonic() - began
    assert [a.digest for a in answers if a.digest] == [str(digest)]
    # One after the other they take at least three seconds each, however busy the machine is or not.
    assert took < 3.0 * len(images)


def test_a_registry_that_does_not_answer_is_not_asked_for_every_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "TAG_LIMIT_S", 0.3)
    with Hung() as hung:
        images = [f"127.0.0.1:{hung.port}/app:{n}" for n in range(20)]
        answers = ask_registries(images, Asking(credentials=NoCredentials(), parallel=1))
        assert hung.taken <= MOST_SILENT
    assert {a.verdict for a in answers} == {Verdict.NOT_OURS}
    assert answers[-1].reason.startswith("cannot reach 127.0.0.1:")


@pytest.mark.parametrize("parallel", [1, 8])
def test_each_registry_gets_its_own_answers(parallel: int) -> None:
    with ScriptedRegistry() as one, ScriptedRegistry() as two:
        wanted = {}
        for registry, tag in ((one, "1"), (two, "1"), (one, "2")):
            digest = registry.shelf.add_image("app", tag, layers=[registry.host.encode(), tag.encode()])
            wanted[f"{registry.host}/app:{tag}"] = str(digest)
        answers = ask_registries(wanted, Asking(credentials=NoCredentials(), parallel=parallel))
        assert {a.image: a.digest for a in answers} == wanted


def mirrors_of(*registries: ScriptedRegistry, resolve: bool = True) -> tuple[MirrorRule, ...]:
    """Return rules by which the registries stand in for away.lan."""
    return parse_mirrors([{"for": "away.lan", "url": r.url, "resolve": resolve} for r in registries])


def test_a_mirror_that_the_policy_believes_says_what_a_tag_has() -> None:
    with ScriptedRegistry() as dead, ScriptedRegistry() as good, dead.down():
        digest = good.shelf.add_image("app", "1", layers=[b"x"])
        resolve = ResolvePolicy(without_origin=WithoutOrigin.MIRRORS)
        answers = ask_mirrors(["away.lan/app:1"], mirrors_of(dead, good), resolve, NOBODY)
        assert answers["away.lan/app:1"].digest == str(digest)
        assert answers["away.lan/app:1"].endpoint == good.url
        assert ask_mirrors(["away.lan/app:1"], mirrors_of(good), ORIGIN_ALONE, NOBODY) == {}
        assert ask_mirrors(["away.lan/app:1"], mirrors_of(good, resolve=False), resolve, NOBODY) == {}


@pytest.mark.parametrize(("quorum", "believed"), [(2, True), (3, False)])
def test_as_many_mirrors_must_agree_as_the_policy_says(quorum: int, believed: bool) -> None:
    with ScriptedRegistry() as stale, ScriptedRegistry() as one, ScriptedRegistry() as two:
        stale.shelf.add_image("app", "1", layers=[b"old"])
        for registry in (one, two):
            digest = registry.shelf.add_image("app", "1", layers=[b"new"])
        resolve = ResolvePolicy(without_origin=WithoutOrigin.QUORUM, quorum=quorum)
        answers = ask_mirrors(["away.lan/app:1"], mirrors_of(stale, one, two), resolve, NOBODY)
        assert [a.digest for a in answers.values()] == ([str(digest)] if believed else [])


def test_mirrors_that_disagree_one_to_one_are_not_believed() -> None:
    with ScriptedRegistry() as one, ScriptedRegistry() as two:
        one.shelf.add_image("app", "1", layers=[b"old"])
        two.shelf.add_image("app", "1", layers=[b"new"])
        resolve = ResolvePolicy(without_origin=WithoutOrigin.QUORUM, quorum=1)
        assert ask_mirrors(["away.lan/app:1"], mirrors_of(one, two), resolve, NOBODY) == {}


def test_a_global_mirror_resolves_for_another_registry_only_where_it_tells_them_apart() -> None:
    plain, apart = parse_mirrors(
        [{"url": "https://plain.lan", "resolve": True}, {"url": "https://ns.lan", "shape": "ns", "resolve": True}]
    )
    assert resolving_mirrors((plain, apart), "docker.io") == [plain, apart]
    assert resolving_mirrors((plain, apart), "ghcr.io") == [apart]


@pytest.mark.parametrize(("remaining", "asked"), [(100, 5), (9, 1)])
def test_checks_stop_where_little_is_left_of_the_rate_limit(remaining: int, asked: int) -> None:
    headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600"}
    with ScriptedRegistry() as registry:
        registry.headers |= headers
        for n in range(5):
            registry.shelf.add_image("app", str(n), layers=[b"x"])
        images = [f"{registry.host}/app:{n}" for n in range(5)]
        answers = ask_registries(images, Asking(credentials=NoCredentials(), parallel=1))
        assert len(registry.asked("manifests", "HEAD")) == asked
        resolved = [answer for answer in answers if answer.verdict is Verdict.RESOLVED]
        assert len(resolved) == asked
        assert [a.limit.remaining for a in resolved if a.limit] == [remaining] * asked
