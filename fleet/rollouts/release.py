"""Whether the next message of a command may go out: asked at the last moment, before every offer, order and go."""

from enum import StrEnum

from fleet.rollouts.states import CommandState, Hold, RolloutState


class Answer(StrEnum):
    """What the last look says."""

    SEND = "send"
    """It goes out."""
    WAIT = "wait"
    """Nothing goes out, and the command stays as it is."""
    CALL_OFF = "call_off"
    """The command ends; no container was touched for it."""


def look_again(
    command: CommandState, rollout: RolloutState, holds: frozenset[Hold], *, stopped: bool = False
) -> Answer:
    """Return whether the next message of a command, which is in *command*, may go out.

    *stopped* says that its host is frozen, or that a container in it is held, snoozed or skipped.
    """
    if rollout is RolloutState.RUNNING and not holds and not stopped:
        return Answer.SEND
    if command is CommandState.APPLYING:
        # The host may be at it already; a go that was lost must not be repeated now.
        return Answer.WAIT
    if command is CommandState.PULLING and rollout is RolloutState.RUNNING:
        # The bytes will be of use; the go is what a hold holds back.
        return Answer.WAIT
    return Answer.CALL_OFF
