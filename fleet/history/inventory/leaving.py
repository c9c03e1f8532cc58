"""What follows when a host is removed: nothing is sent to it any more, and no rollout waits for it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, select

from fleet.history.commands.moves import PLACE, STANDING, load_commands, load_hosts, save_commands, save_hosts
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import container_digests, containers, rekeys, snapshot_parts
from fleet.history.tables.road import outbox, progress
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.states import LIVE, WAITING, CommandState, HostState

_WHY = "the host was removed"


def leave(connection: Connection, host_id: UUID, now: datetime) -> None:
    """Call off what is under way for the host, and forget what runs on it."""
    mine = (commands.c.host_id == host_id, commands.c.ended_at.is_(None))
    open_ = load_commands(connection, select(*STANDING).where(*mine).order_by(commands.c.id).with_for_update())
    for command in open_.values():
        command.move(CommandState.CANCELLED, now, reason=_WHY)
    save_commands(connection, open_.values())
    waiting = rollout_hosts.c.state.in_((*WAITING, *LIVE))
    tries = load_hosts(connection, select(*PLACE).where(rollout_hosts.c.host_id == host_id, waiting))
    for each in tries.values():
        # Once it had the go, only the host knows what became of it.
        end = HostState.FAILED if each.state is HostState.APPLYING else HostState.SKIPPED
        each.move(end, now, reason=_WHY)
    save_hosts(connection, tries.values())
    for table in (container_digests, containers, snapshot_parts, rekeys, outbox, progress):
        connection.execute(delete(table).where(table.c.host_id == host_id))
