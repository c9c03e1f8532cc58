"""Outcomes: the history proper. Each becomes one row, once, under the id that its order gave it."""

from typing import Any
from uuid import UUID

from fleet.history.commands.ahead_mark import is_ahead
from fleet.history.commands.image_names import names_of
from fleet.history.commands.moves import Command
from fleet.history.inbox.batch import Batch, Unusable
from fleet.history.inbox.pulls import take_pull
from fleet.history.sql.amounts import lasted, moment
from fleet.history.sql.plain import digest, name, prose
from fleet.road.messages import Outcome
from fleet.rollouts.states import CommandState

MOST_DIFFERENCES = 200
"""How many lines of a difference between specs are kept."""


def take_outcome(batch: Batch, host_id: UUID, message: Outcome) -> None:
    """Write down an outcome with its pull, and let the host forget it; raises Unusable where no order named it."""
    outcome = message.outcome
    command = batch.command(host_id, message.command)
    # Texts are compared: to parse the ids of a host's hundreds of targets for each of its outcomes took half of the inbox's time.
    wanted = str(outcome.update_id)
    target = _target(command, wanted) if command else None
    if command is None or target is None:
        raise Unusable("cannot take it: no order to this host named this update")
    if message.pull is not None and not take_pull(batch, command, message.pull):
        raise Unusable("cannot take it: it names a pull that is not of its command")
    if is_ahead(command.order):
        # Its pull failed; no container was to be touched, so nothing is said of an update.
        batch.receipts.setdefault(host_id, []).append(wanted)
        if not command.state.ended:
            command.move(CommandState.CANCELLED, batch.now, reason=prose(outcome.reason))
        return
    batch.updates.append(_row(batch, command, target, message))
    batch.receipts.setdefault(host_id, []).append(wanted)
    batch.settle[command.id] = command


def _target(command: Command, wanted: str) -> dict[str, Any] | None:
    return next((each for each in command.order["targets"] if each["update_id"] == wanted), None)


def _row(batch: Batch, command: Command, target: dict[str, Any], message: Outcome) -> dict[str, Any]:
    outcome = message.outcome
    repository, image = names_of(target["reference"])
    phases = outcome.phases
    return {
        "id": outcome.update_id,
        "command_id": command.id,
        "rollout_id": command.rollout_id,
        "host_id": command.host_id,
        "pull_id": _pull_id(command, message),
        "asked_by": command.asked_by,
        "container": name(target["container"]),
        "image": image,
        "repository": repository,
        "result": outcome.result,
        "reason": prose(outcome.reason),
        "old_digest": digest(outcome.old_digest) or target["old_digest"],
        "new_digest": digest(outcome.new_digest) or target["digest"],
        "old_image_id": name(outcome.old_image_id or target["image_id"]),
        "new_image_id": name(outcome.new_image_id),
        "old_container_id": name(outcome.old_container_id or target["container_id"]),
        "new_container_id": name(outcome.new_container_id),
        "mirror": "",
        "config_diff": [prose(line) for line in outcome.config_diff[:MOST_DIFFERENCES]],
        "pull_ms": lasted(phases.pull_ms),
        "create_ms": lasted(phases.create_ms),
        "stop_ms": lasted(phases.stop_ms),
        "start_ms": lasted(phases.start_ms),
        "verify_ms": lasted(phases.verify_ms),
        "rollback_ms": lasted(phases.rollback_ms),
        "downtime_ms": lasted(outcome.downtime_ms),
        "finished_at": moment(message.finished_at),
        "recorded_at": batch.now,
        "interrupted": outcome.interrupted,
    }


def _pull_id(command: Command, message: Outcome) -> UUID | None:
    found = message.pull.pull_id if message.pull is not None else message.outcome.pull_id
    return found if found is not None and str(found) in command.order["pull_ids"].values() else None
