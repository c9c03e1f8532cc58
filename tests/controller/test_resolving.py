"""What the centre learns from registries, by whom it asks and how often."""

import pytest

from fleet.controller.resolving import Asking, Verdict, ask_registries
from fleet.registry.credentials import Credentials, NoCredentials
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


@pytest.mark.parametrize("parallel", [1, 8])
def test_each_registry_gets_its_own_answers(parallel: int) -> None:
    with ScriptedRegistry() as one, ScriptedRegistry() as two:
        wanted = {}
        for registry, tag in ((one, "1"), (two, "1"), (one, "2")):
            digest = registry.shelf.add_image("app", tag, layers=[registry.host.encode(), tag.encode()])
            wanted[f"{registry.host}/app:{tag}"] = str(digest)
        answers = ask_registries(wanted, Asking(credentials=NoCredentials(), parallel=parallel))
        assert {a.image: a.digest for a in answers} == wanted
