"""Where stops are honoured once a plan is a rollout: before a host is dispatched, and before each of its messages."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.commands.image_names import names_of
from fleet.history.commands.moves import Command, HostTry
from fleet.history.rollouts.superseding import ANY, overtaken
from fleet.history.rules.own_windows import OwnWindows
from fleet.history.rules.refusing import refusals
from fleet.history.rules.stops import StopRow, holding
from fleet.history.sql.among import among
from fleet.history.tables.inventory import hosts
from fleet.rollouts.dispatching import may_go_at
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState
from fleet.rollouts.stops import freezing, keeping
from fleet.rollouts.windows import ZONE_LABEL


def what_stops(
    connection: Connection, commands: Iterable[Command], stops: list[StopRow], refused: Collection[UUID]
) -> dict[UUID, str]:
    """Return, for each of *commands* whose host is frozen or among those *refused*, or one of whose containers is held, in
    words what stops it. Where there are *stops*, the commands have their orders.
    """
    if not stops and not refused:
        return {}
    commands = list(commands)
    why = refusals(connection, refused) if refused else {}
    found = {command.id: why[command.host_id] for command in commands if command.host_id in why}
    if not stops:
        return found
    known = _known(connection, {command.host_id for command in commands})
    for command in commands:
        name, labels = known.get(command.host_id, ("", {}))
        stop = freezing(stops, name, labels) or next(
            (held for each in command.order["targets"] if (held := _keeps(stops, name, labels, each))), None
        )
        if stop is not None:
            found[command.id] = stop.words
    return found


def shut(
    connection: Connection,
    commands: Iterable[Command],
    specs: Mapping[UUID, RolloutSpec],
    now: datetime,
    ways_back: Collection[UUID] = (),
) -> set[UUID]:
    """Return which of *commands* wait for the go that windows and freezes do not allow now: of their rollout, or windows
    of their host's policy, which keep no way back.
    """
    waiting = [each for each in commands if each.state in (CommandState.READY, CommandState.APPLYING)]
    own = OwnWindows(connection) if waiting else None
    bound = [each for each in waiting if own or specs[each.rollout_id].windows or specs[each.rollout_id].freezes]
    known = _known(connection, {command.host_id for command in bound})
    found = set()
    for command in bound:
        name, labels = known.get(command.host_id, ("", {}))
        zone = labels.get(ZONE_LABEL, "UTC")
        mine = own.of(command.host_id, labels) if own and command.rollout_id not in ways_back else ()
        if not may_go_at(specs[command.rollout_id], name, dict(labels), zone, now, mine):
            found.add(command.id)
    return found


Free = dict[UUID, tuple[tuple[dict[str, Any], ...], str]]
"""By host: what of its targets it may update, and in words what holds the rest."""


def without_held(connection: Connection, tries: Iterable[HostTry], now: datetime) -> Free:
    """Return, for each host's id, what it may update of what the plan pinned for it, and what holds the rest.

    The hosts are of one rollout. Held is what people hold, and what a newer rollout has updated meanwhile.
    """
    stops = holding(connection, now)
    tries = list(tries)
    newer = overtaken(connection, tries[0].rollout_id, [each.host_id for each in tries]) if tries else {}
    if not stops and not newer:
        return {each.host_id: (each.targets, "") for each in tries}
    known = _known(connection, {each.host_id for each in tries}) if stops else {}
    found = {}
    for each in tries:
        name, labels = known.get(each.host_id, ("", {}))
        held = [
            _overtaken(newer.get(each.host_id, {}), target) or _held(stops, name, labels, target)
            for target in each.targets
        ]
        free = tuple(target for target, why in zip(each.targets, held, strict=True) if not why)
        found[each.host_id] = (free, next(filter(None, held), ""))
    return found


def _overtaken(newer: Mapping[str, int], target: Mapping[str, Any]) -> str:
    number = newer.get(target["container"], newer.get(ANY))
    return f"rollout #{number}, which is newer, has been at {target['container']} already" if number else ""


def _held(stops: list[StopRow], host: str, labels: Mapping[str, str], target: Mapping[str, Any]) -> str:
    stop = _keeps(stops, host, labels, target)
    return stop.words if stop else ""


def _keeps(stops: list[StopRow], host: str, labels: Mapping[str, str], target: Mapping[str, Any]) -> StopRow | None:
    stop = keeping(stops, host, labels, target["container"], _image(target), target["digest"])
    return stop if isinstance(stop, StopRow) else None


def _image(target: Mapping[str, Any]) -> str:
    """Return the canonical image; an order names it as the user wrote it."""
    return str(target.get("image") or names_of(target["reference"])[1])


def _known(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[str, Mapping[str, str]]]:
    if not (named := set(ids)):
        return {}
    query = select(hosts.c.id, hosts.c.name, hosts.c.labels).where(among(connection, hosts.c.id, named))
    return {row.id: (row.name, row.labels) for row in connection.execute(query).all()}
