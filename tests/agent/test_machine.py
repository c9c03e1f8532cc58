"""What messages do to commands: each moves one by a step, repeated or late ones move none, and nothing waits."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent import machine
from fleet.agent.machine import CommandMessage, Step
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.road.messages import Cancel, Claim, Go, Offer, Order, OrderTarget
from fleet.updates.command import Policy, Target, UpdateCommand, pull_key
from fleet.updates.journal import CommandEntry, CommandState
from fleet.updates.outcome import PullOutcome, Result, Tier

NOW = datetime(2026, 11, 2, tzinfo=UTC)
ID = UUID(int=1)
DIGEST = Digest.of(b"new")


def target(number: int = 1, reference: str = "nginx:1") -> Target:
    """Return one of the targets."""
    return Target(
        update_id=UUID(int=100 + number),
        container_id=f"{number:064x}",
        container=f"web-{number}",
        image_id="sha256:" + "a" * 64,
        reference=Reference.parse(reference),
        digest=DIGEST,
    )


def order(*targets: Target) -> Order:
    """Return an order of them."""
    targets = targets or (target(),)
    pulls = {pull_key(each): UUID(int=7) for each in targets}
    return Order.of(UpdateCommand(id=ID, targets=targets, policy=Policy(), pull_ids=pulls))


def pull(*, ok: bool = True) -> PullOutcome:
    """Return what came of the pull."""
    return PullOutcome(pull_id=UUID(int=7), reference="x", digest=str(DIGEST), ok=ok, tier=Tier.LOOPBACK)


def after(*messages: CommandMessage) -> CommandEntry | None:
    """Return the record after these messages."""
    entry: CommandEntry | None = None
    for message in messages:
        entry = machine.step(message, entry, NOW).entry or entry
    return entry


def entry(state: CommandState) -> CommandEntry:
    """Return a record in a state."""
    found = after(Offer(command=ID), order())
    assert found is not None
    if state is CommandState.OFFERED:
        return after(Offer(command=ID)) or found
    if state is CommandState.ORDERED:
        return found
    pulled = machine.pulled(machine.with_pull(found, key=pull_key(target()), pull=pull()), NOW)
    if state is CommandState.READY:
        return pulled
    going = machine.step(Go(command=ID), pulled, NOW).entry
    assert going is not None
    return going if state is CommandState.GOING else machine.without(going, [target()], NOW)


def test_an_offer_is_claimed() -> None:
    step = machine.step(Offer(command=ID), None, NOW)
    assert step.entry is not None
    assert step.entry.state is CommandState.OFFERED
    assert step.say == (Claim(command=ID),)


def test_an_order_needs_no_offer() -> None:
    """The offer is a doorbell: it may be lost, and a heartbeat claims as well."""
    found = after(order())
    assert found is not None
    assert found.state is CommandState.ORDERED
    assert found.command == order().update_command()


def test_the_states_follow_one_another() -> None:
    for state in CommandState:
        assert entry(state).state is state


def test_ready_tells_of_the_pulls_that_are_needed_and_went_well() -> None:
    found = entry(CommandState.READY)
    other = machine.with_pull(found, key="other", pull=pull(ok=False))
    assert machine.ready(other).pulls == (pull(),)


@pytest.mark.parametrize(
    ("message", "state", "expected"),
    [
        (Offer(command=ID), CommandState.OFFERED, Step(say=(Claim(command=ID),))),
        (Offer(command=ID), CommandState.ORDERED, Step(say=(Claim(command=ID),))),
        (Offer(command=ID), CommandState.READY, Step(again=True)),
        (Offer(command=ID), CommandState.GOING, Step(again=True)),
        (Offer(command=ID), CommandState.DONE, Step(again=True)),
        (order(), CommandState.ORDERED, Step(again=True)),
        (order(), CommandState.READY, Step(again=True)),
        (order(), CommandState.GOING, Step(again=True)),
        (order(), CommandState.DONE, Step(again=True)),
        (Go(command=ID), CommandState.OFFERED, Step(note="go before the bytes were there")),
        (Go(command=ID), CommandState.ORDERED, Step(note="go before the bytes were there")),
        (Go(command=ID), CommandState.GOING, Step(again=True)),
        (Go(command=ID), CommandState.DONE, Step(again=True)),
        (Cancel(command=ID), CommandState.GOING, Step(note="cancelled too late, it is being carried out")),
        (Cancel(command=ID), CommandState.DONE, Step()),
    ],
    ids=lambda value: getattr(value, "kind", str(value)[:20]),
)
def test_what_comes_twice_or_too_early_moves_nothing(
    message: CommandMessage, state: CommandState, expected: Step
) -> None:
    assert machine.step(message, entry(state), NOW) == expected


def test_a_go_for_what_was_never_ordered_is_ignored() -> None:
    assert machine.step(Go(command=ID), None, NOW) == Step(note="go for an unknown command")


@pytest.mark.parametrize("state", [CommandState.OFFERED, CommandState.ORDERED, CommandState.READY])
def test_a_cancel_before_the_go_ends_it(state: CommandState) -> None:
    step = machine.step(Cancel(command=ID, reason="frozen"), entry(state), NOW)
    assert step.entry is not None
    assert (step.entry.state, step.entry.cancelled) == (CommandState.DONE, "frozen")
    assert machine.step(Go(command=ID), step.entry, NOW).entry is None


def test_a_cancel_that_comes_before_its_order_holds() -> None:
    found = after(Cancel(command=ID))
    assert machine.step(order(), found, NOW).entry is None


def test_an_order_that_cannot_be_read_is_an_outcome_for_each_target() -> None:
    sent = order()
    broken = OrderTarget(**(sent.targets[0].model_dump() | {"reference": "UPPER/case:1"}))
    step = machine.step(sent.model_copy(update={"targets": (broken,)}), None, NOW)
    (outcome,) = step.outcomes
    assert outcome.outcome.result is Result.FAILED
    assert outcome.outcome.reason.startswith("cannot")
    assert step.entry is not None
    assert step.entry.state is CommandState.DONE


def test_an_order_without_an_id_for_a_pull_is_an_outcome_for_each_target() -> None:
    step = machine.step(order(target(1), target(2)).model_copy(update={"pull_ids": {}}), None, NOW)
    assert [each.outcome.container for each in step.outcomes] == ["web-1", "web-2"]


def test_a_command_is_done_when_its_last_target_is() -> None:
    both = after(order(target(1), target(2)))
    assert both is not None
    going = machine.step(Go(command=ID), machine.pulled(both, NOW), NOW).entry
    assert going is not None
    one = machine.without(going, [target(1)], NOW)
    assert one.state is CommandState.GOING
    assert machine.without(one, [target(2)], NOW).state is CommandState.DONE


def test_a_command_whose_every_pull_failed_is_done_without_a_go() -> None:
    found = entry(CommandState.ORDERED)
    assert machine.pulled(machine.without(found, [target()], NOW), NOW).state is CommandState.DONE


def test_what_was_begun_comes_before_what_is_only_ordered() -> None:
    ordered, going = entry(CommandState.ORDERED), entry(CommandState.GOING)
    assert machine.due([ordered, going]) == going
    assert machine.due([entry(CommandState.READY), ordered]) == ordered
    assert machine.due([entry(CommandState.READY), entry(CommandState.DONE)]) is None


def test_what_ended_is_remembered_for_longer_than_an_order_holds_and_not_for_ever() -> None:
    done, ready = entry(CommandState.DONE), entry(CommandState.READY)
    assert machine.forgotten([done, ready], NOW + timedelta(days=1)) == []
    assert machine.forgotten([done, ready], NOW + timedelta(days=8)) == [done]


@given(st.lists(st.sampled_from(["offer", "order", "go", "cancel", "pulled", "ended"]), max_size=12))
def test_no_order_of_messages_touches_a_container_before_its_bytes_were_ready(words: list[str]) -> None:
    """Whatever comes in whatever order: GOING follows READY alone, and a cancelled command never goes."""
    found: CommandEntry | None = None
    for word in words:
        before = found
        match word:
            case "pulled":
                if found and found.state is CommandState.ORDERED:
                    found = machine.pulled(found, NOW)
            case "ended":
                if found and found.state is CommandState.GOING:
                    found = machine.without(found, [target()], NOW)
            case _:
                messages: dict[str, CommandMessage] = {
                    "offer": Offer(command=ID),
                    "order": order(),
                    "go": Go(command=ID),
                    "cancel": Cancel(command=ID),
                }
                found = machine.step(messages[word], found, NOW).entry or found
        if found and found.state is CommandState.GOING and found != before:
            assert before is not None
            assert before.state is CommandState.READY
        if before and before.state is CommandState.DONE:
            assert found == before


def test_other_commands_are_other_records() -> None:
    assert machine.step(Offer(command=uuid4()), None, NOW).entry != after(Offer(command=ID))


def test_attempts_are_counted_one_by_one_and_a_pull_that_came_begins_anew() -> None:
    ordered = entry(CommandState.ORDERED)
    assert (ordered.attempts, machine.begun(ordered).attempts) == (0, 1)
    twice = machine.begun(machine.begun(ordered))
    assert (twice.attempts, machine.spared(twice).attempts, machine.spared(ordered).attempts) == (2, 1, 0)
    assert machine.with_pull(twice, key="x", pull=pull()).attempts == 0
