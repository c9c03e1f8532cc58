"""Hosts that succeeded, and whose snapshot shows that they do not run the pinned digests well any more."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.commands.moves import PINNED, Command, HostTry, load_hosts, save_hosts
from fleet.history.sql.among import among
from fleet.history.tables.inventory import containers
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.rollouts.regress import Pinned, Shown, regressed, runs_badly
from fleet.rollouts.states import HostState, RolloutState


def regress(connection: Connection, host_ids: Collection[UUID], now: datetime) -> None:
    """Look at those of these hosts that succeeded in a rollout which still runs; it counts a regress as a failure."""
    if not host_ids:
        return
    running = select(rollouts.c.id).where(rollouts.c.ended_at.is_(None), rollouts.c.state == RolloutState.RUNNING)
    mine = (among(connection, rollout_hosts.c.host_id, host_ids), rollout_hosts.c.rollout_id.in_(running))
    query = select(*PINNED).where(*mine, rollout_hosts.c.state == HostState.SUCCEEDED)
    found = load_hosts(connection, query).values()
    if not found:
        return
    shown = _shown(connection, {each.host_id for each in found})
    for each in found:
        if why := regressed(_pins(each), shown.get(each.host_id, {})):
            each.move(HostState.REGRESSED, now, reason=why)
    save_hosts(connection, found)


def perhaps_regressed(connection: Connection, settled: Iterable[Command]) -> set[UUID]:
    """Return the hosts of these commands, with their orders, of whose containers anything is shown that may be a regress.

    Most of them are shown as they were before: their next snapshot is yet to come.
    """
    old: dict[UUID, dict[str, str]] = defaultdict(dict)
    for command in settled:
        theirs = old[command.host_id]
        for each in command.order["targets"]:
            theirs[each["container"]] = each["container_id"]
    if not old:
        return set()
    c = containers.c
    query = select(c.host_id, c.name, c.id, c.state, c.health).where(among(connection, c.host_id, old))
    return {
        host_id
        for host_id, name, id, state, health in connection.execute(query).all()
        if (before := old[host_id].get(name)) is not None and (id != before or runs_badly(state, health))
    }


def _pins(host: HostTry) -> list[Pinned]:
    return [
        Pinned(container=target["container"], old_id=target["container_id"], digest=target["digest"])
        for target in host.targets
    ]


def _shown(connection: Connection, host_ids: Collection[UUID]) -> dict[UUID, dict[str, Shown]]:
    found: dict[UUID, dict[str, Shown]] = {}
    c = containers.c
    query = select(c.host_id, c.name, c.id, c.digests, c.state, c.health)
    for row in connection.execute(query.where(among(connection, c.host_id, host_ids))):
        shown = Shown(id=row.id, digests=tuple(row.digests), state=row.state, health=row.health)
        found.setdefault(row.host_id, {})[row.name] = shown
    return found
