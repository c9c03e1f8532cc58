"""When every target of a command has its outcome: the command is done, and its host knows where it stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.fact_tables import updates
from fleet.history.moves import Command, HostTry, pieces
from fleet.rollouts.states import CommandState, HostState
from fleet.rollouts.verdict import settled, verdict
from fleet.updates.outcome import Result


def settle(
    connection: Connection, commands: Sequence[Command], tries: Mapping[tuple[UUID, UUID], HostTry], now: datetime
) -> None:
    """Move the commands that have all of their outcomes, and their hosts; the rows of the outcomes decide."""
    found = _results(connection, commands)
    for command in commands:
        results = found[command.id]
        if len(results) < command.targets:
            continue
        host = tries.get((command.rollout_id, command.host_id))
        # A late outcome of an earlier command says nothing about the try that is under way now.
        if host is not None and host.command_id == command.id:
            state = settled(host.state, command.state, verdict([result for result, _ in results]))
            if state is not None:
                host.tries += 1 if host.state.live else 0
                host.move(state, now, reason=_why(results, state))
        if not command.state.ended:
            command.move(CommandState.DONE, now)


def _results(connection: Connection, commands: Sequence[Command]) -> dict[UUID, list[tuple[Result, str]]]:
    """Return, for each command, the results and reasons that stand in the history for its targets."""
    owner = {UUID(target["update_id"]): each.id for each in commands for target in each.order["targets"]}
    found: dict[UUID, list[tuple[Result, str]]] = {each.id: [] for each in commands}
    # By the ids that the orders name, since an index on anything else would be searched in every partition.
    query = select(updates.c.id, updates.c.result, updates.c.reason).order_by(updates.c.id)
    for some in pieces(sorted(owner)):
        for id, result, reason in connection.execute(query.where(updates.c.id.in_(some))):
            found[owner[id]].append((result, reason))
    return found


def _why(results: Sequence[tuple[Result, str]], state: HostState) -> str:
    """Return the reason of the first outcome that made the host end so."""
    if state is HostState.SUCCEEDED:
        return ""
    return next((reason for result, reason in results if verdict([result]) is state), "")
