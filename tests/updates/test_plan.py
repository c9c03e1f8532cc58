"""One step a target, whatever the host looks like."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, UpdateCommand
from fleet.updates.plan import Action, plan
from fleet.updates.snapshot import ContainerState

DIGEST, OLD = Digest.of(b"new"), Digest.of(b"old")
TARGET = Target(
    update_id=UUID(int=2),
    container_id="a" * 64,
    container="web",
    image_id="sha256:old",
    reference=Reference.parse("app:1"),
    digest=DIGEST,
)
STATE = ContainerState(
    id="a" * 64, name="web", reference="app:1", image_id="sha256:old", digests=(str(OLD),), state="running"
)


def step(target: Target = TARGET, *states: ContainerState) -> tuple[Action, str]:
    """Return the one step of one target."""
    command = UpdateCommand(id=UUID(int=1), targets=(target,), policy=Policy(), pull_ids={})
    (only,) = plan(command, states).steps
    return only.action, only.reason


def test_a_container_that_is_as_the_plan_saw_it_is_updated() -> None:
    assert step(TARGET, STATE) == (Action.UPDATE, "")


def test_a_container_that_has_the_digest_is_current_even_where_it_stands_still() -> None:
    assert step(TARGET, replace(STATE, digests=(str(DIGEST),), state="exited"))[0] is Action.ALREADY_CURRENT


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "there is no such container any more"),
        (replace(STATE, id="b" * 64), "another container has its name"),
        (replace(STATE, name="www"), "it is named www now; plan again"),
        (replace(STATE, image_id="sha256:other"), "it runs another image than the plan saw"),
        (replace(STATE, state="exited"), "it is exited, and only running containers are updated"),
        (replace(STATE, state=""), "it is not running"),
        (replace(STATE, local_build=True), "was built on this host"),
        (replace(STATE, labels={"fleet.ignore": "true"}), "fleet.ignore"),
        (replace(STATE, labels={"fleet.enable": "false"}), "enable=false"),
        (replace(STATE, labels={"com.centurylinklabs.watchtower.enable": "False"}), "enable=false"),
        (replace(STATE, labels={"com.centurylinklabs.watchtower.monitor-only": "true"}), "monitor-only"),
    ],
)
def test_a_container_that_must_be_left_alone_is_skipped_with_the_reason(
    state: ContainerState | None, reason: str
) -> None:
    action, told = step(TARGET, *([state] if state else []))
    assert action is Action.SKIP
    assert told.startswith("cannot update web: ")
    assert reason in told


def test_fleets_own_label_wins_over_the_alias() -> None:
    labels = {"fleet.enable": "true", "com.centurylinklabs.watchtower.enable": "false"}
    assert step(TARGET, replace(STATE, labels=labels))[0] is Action.UPDATE


def test_a_reference_that_is_pinned_to_a_digest_is_skipped() -> None:
    pinned = replace(TARGET, reference=Reference.parse("app:1").pinned(OLD))
    action, reason = step(pinned, STATE)
    assert action is Action.SKIP
    assert "pinned" in reason


def test_a_container_that_is_named_twice_is_updated_once() -> None:
    command = UpdateCommand(id=UUID(int=1), targets=(TARGET, TARGET), policy=Policy(), pull_ids={})
    assert [one.action for one in plan(command, [STATE]).steps] == [Action.UPDATE, Action.SKIP]


names = st.sampled_from(["web", "db"])
ids = st.sampled_from(["a" * 64, "b" * 64])
images = st.sampled_from(["sha256:old", "sha256:new"])
states = st.builds(
    ContainerState,
    id=ids,
    name=names,
    reference=st.just("app:1"),
    image_id=images,
    digests=st.sampled_from([(), (str(OLD),), (str(DIGEST),)]),
    state=st.sampled_from(["running", "exited", "restarting", "paused", "created", ""]),
    labels=st.dictionaries(st.sampled_from(["fleet.ignore", "fleet.enable"]), st.sampled_from(["true", "no", "", "?"])),
    local_build=st.booleans(),
)
targets = st.builds(
    replace, st.just(TARGET), container=names, container_id=ids, image_id=images, digest=st.sampled_from([DIGEST, OLD])
)


@given(targets=st.lists(targets, max_size=4), states=st.lists(states, max_size=4))
def test_it_is_total_and_updates_only_what_is_as_it_was(targets: list[Target], states: list[ContainerState]) -> None:
    command = UpdateCommand(id=UUID(int=1), targets=tuple(targets), policy=Policy(), pull_ids={})
    steps = plan(command, states).steps
    assert [one.target for one in steps] == targets
    updated = [one.target for one in steps if one.action is Action.UPDATE]
    assert len({target.container_id for target in updated}) == len(updated)
    for target in updated:
        assert any(
            (state.id, state.name, state.image_id, state.state)
            == (target.container_id, target.container, target.image_id, "running")
            for state in states
        )
    assert all(bool(one.reason) == (one.action is Action.SKIP) for one in steps)
