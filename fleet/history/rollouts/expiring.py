"""Commands whose time is over."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.commands.moves import STANDING, Command, HostTry, hosts_of, load_commands, save_commands, save_hosts
from fleet.history.noted.outgoing import post_all, posted
from fleet.history.tables.facts import commands
from fleet.history.tables.rollouts import rollouts
from fleet.road.messages import Cancel
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, FailureClass
from fleet.rollouts.tries import after_expiry

BATCH = 500

_HEARD_OF = (CommandState.OFFERED, CommandState.CLAIMED, CommandState.PULLING, CommandState.READY)
"""States in which the host may hold the command, and has touched nothing for it."""


def expire_due(connection: Connection, now: datetime) -> int:
    """End the commands whose time is over, with what follows for their hosts; return how many."""
    over = (commands.c.ended_at.is_(None), commands.c.deadline <= now)
    query = select(*STANDING).where(*over).order_by(commands.c.deadline).limit(BATCH)
    loaded = load_commands(connection, query.with_for_update(skip_locked=True))
    tries = hosts_of(connection, loaded.values())
    specs = _specs(connection, {command.rollout_id for command in loaded.values()})
    why = "cannot wait any longer: its time was over"
    post_all(
        connection,
        [
            posted(command.host_id, Cancel(command=command.id, reason=why), now)
            for command in loaded.values()
            if command.state in _HEARD_OF
        ],
    )
    for command in loaded.values():
        host = tries.get((command.rollout_id, command.host_id))
        if host is not None and host.command_id == command.id and host.state.live:
            _give_turn_back(command, host, specs[command.rollout_id], now)
        command.move(CommandState.EXPIRED, now, reason=why)
    save_commands(connection, loaded.values())
    save_hosts(connection, tries.values())
    return len(loaded)


def _give_turn_back(command: Command, host: HostTry, spec: RolloutSpec, now: datetime) -> None:
    expiry = after_expiry(command.state, host.tries, spec.tries, now, host.host_id)
    host.tries += 1 if expiry.spent else 0
    host.not_before = expiry.not_before
    if expiry.spent:
        pulled = command.state is CommandState.APPLYING
        host.failure = (FailureClass.TIMEOUT if pulled else FailureClass.INFRASTRUCTURE).value
    host.move(expiry.state, now, reason=expiry.reason)


def _specs(connection: Connection, ids: set[UUID]) -> dict[UUID, RolloutSpec]:
    rows = connection.execute(select(rollouts.c.id, rollouts.c.spec).where(rollouts.c.id.in_(ids)))
    return {id: RolloutSpec.parse(spec) for id, spec in rows}
