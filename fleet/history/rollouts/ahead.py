"""Pulls ahead: while a wave soaks, hosts of the next one fetch what they will need; nothing of theirs is touched.

Each is a command as any other, up to the moment when the host has its bytes: then it is called off, and the host stays
pending. Its order is marked, so that no outcome of it is one of an update.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, exists, func, insert, not_, select

from fleet.history.commands.ahead_mark import MARK, is_ahead
from fleet.history.commands.moves import PINNED, WHOLE, load_commands, load_hosts, save_commands
from fleet.history.noted.outgoing import post_all, posted
from fleet.history.rollouts.dispatch import rows_of, to_be_offered
from fleet.history.rollouts.stopping import without_held
from fleet.history.rules.stops import frozen, holding
from fleet.history.sql.among import among
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts, waves
from fleet.road.messages import Cancel
from fleet.rollouts.silence import silence
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, CommandState, HostState, RolloutState, WaveState

_MINUTE = timedelta(minutes=1)


def pull_ahead(connection: Connection, row: RowMapping, now: datetime) -> None:
    """Write commands for hosts of the wave that may pull ahead, as many as parallelism and rate still allow."""
    if row["state"] is not RolloutState.RUNNING or row["holds"]:
        return
    mine = (waves.c.rollout_id == row["id"], waves.c.prefetched_at.is_not(None), waves.c.state == WaveState.PENDING)
    number = connection.execute(select(waves.c.number).where(*mine).order_by(waves.c.number).limit(1)).scalar()
    if number is None:
        return
    spec = RolloutSpec.parse(row["spec"])
    free = min(spec.parallel_of(number) - _open(connection, row["id"]), _rate_left(connection, row["id"], spec, now))
    if free < 1:
        return
    tries = load_hosts(connection, _next(connection, row["id"], number, free, spec, now))
    may = without_held(connection, tries.values(), now)
    found = rows_of(connection, row, spec, may, now, to_be_offered(now))
    for each in found:
        each["order"] = {**each["order"], MARK: True}
    if found:
        connection.execute(insert(commands), found)


def call_off_ahead(connection: Connection, rollout_id: UUID, now: datetime, why: str) -> None:
    """End the pulls ahead of a rollout: the wave has come, or the rollout is over."""
    mine = (commands.c.rollout_id == rollout_id, commands.c.ended_at.is_(None))
    open_ = load_commands(connection, select(*WHOLE).where(*mine).order_by(commands.c.id).with_for_update())
    ahead = [command for command in open_.values() if is_ahead(command.order)]
    post_all(
        connection,
        [
            posted(command.host_id, Cancel(command=command.id, reason=why), now)
            for command in ahead
            if command.state is not CommandState.PENDING
        ],
    )
    for command in ahead:
        command.move(CommandState.CANCELLED, now, reason=why)
    save_commands(connection, ahead)


def _next(connection: Connection, rollout_id: UUID, number: int, most: int, spec: RolloutSpec, now: datetime) -> Any:
    """Select the first hosts of a wave that have no command of this rollout yet, may be asked, and have nothing to do."""
    c, other = rollout_hosts.c, rollout_hosts.alias("other")
    asked = exists().where(commands.c.rollout_id == rollout_id, commands.c.host_id == c.host_id)
    busy = exists().where(other.c.host_id == c.host_id, other.c.state.in_(LIVE))
    mine = (c.rollout_id == rollout_id, c.wave == number, c.state == HostState.PENDING)
    here = (hosts.c.last_seen_at > now - silence(spec), not_(frozen(holding(connection, now))))
    first = (
        select(c.host_id)
        .join(hosts, hosts.c.id == c.host_id)
        .where(*mine, *here, ~asked, ~busy)
        .order_by(c.position)
        .limit(most)
    )
    ids = list(connection.execute(first).scalars())
    return select(*PINNED).where(c.rollout_id == rollout_id, among(connection, c.host_id, ids))


def _open(connection: Connection, rollout_id: UUID) -> int:
    query = select(func.count()).select_from(commands)
    mine = (commands.c.rollout_id == rollout_id, commands.c.ended_at.is_(None))
    return connection.execute(query.where(*mine)).scalar_one()


def _rate_left(connection: Connection, rollout_id: UUID, spec: RolloutSpec, now: datetime) -> int:
    lately = (commands.c.rollout_id == rollout_id, commands.c.created_at > now - _MINUTE)
    written = connection.execute(select(func.count()).select_from(commands).where(*lately)).scalar_one()
    return spec.rate_per_minute - written
