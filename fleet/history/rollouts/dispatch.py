"""Write a command for each host whose turn has come: with ids of its updates and pulls, pinned digests and policy.

It is written as it stands once it was offered, since nothing can come between: whoever commits it has its offer to send.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select

from fleet.errors import BadInput
from fleet.history.commands.moves import PINNED, load_hosts, save_hosts
from fleet.history.mirrors.speeds import measured_for
from fleet.history.rollouts.sending import AGAIN
from fleet.history.rollouts.stopping import Free, without_held
from fleet.history.rules.policies import effective_for
from fleet.history.sql.among import among
from fleet.history.sql.upsert import insert_rows
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import containers, hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.images.platform import Platform, readable
from fleet.images.reference import Reference
from fleet.road.messages import Order
from fleet.rollouts.policy import with_times
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, HostState
from fleet.updates.command import Policy, Target, UpdateCommand, pull_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A command that was written as offered, and whose offer is to be sent once that is committed."""

    command: UUID
    host_id: UUID


def dispatch(
    connection: Connection, rollout: RowMapping, host_ids: Sequence[UUID], now: datetime
) -> tuple[Offered, ...]:
    """Write the commands of these hosts of one rollout, and move the hosts on; all of them must be pending.

    Containers that people hold, snooze or skip are left out; a host of which nothing is left is skipped. The rollout must be
    locked, and stops looked at (:func:`fleet.history.rules.stops.look`). Each offer counts as sent: it is due again where nothing
    comes back.
    """
    if not host_ids:
        return ()
    spec = RolloutSpec.parse(rollout["spec"])
    mine = (rollout_hosts.c.rollout_id == rollout["id"], among(connection, rollout_hosts.c.host_id, host_ids))
    tries = load_hosts(connection, select(*PINNED).where(*mine))
    free = without_held(connection, tries.values(), now)
    rows = rows_of(connection, rollout, spec, free, now, _offered(now))
    ids = {row["host_id"]: row["id"] for row in rows}
    for host in tries.values():
        if host.host_id not in ids:
            host.move(HostState.SKIPPED, now, reason=free[host.host_id][1])
            continue
        host.give(ids[host.host_id])
        host.not_before = None
        host.move(HostState.DISPATCHED, now)
    insert_rows(connection, commands, rows)
    save_hosts(connection, tries.values())
    return tuple(Offered(command=command, host_id=host_id) for host_id, command in ids.items())


def to_be_offered(now: datetime) -> dict[str, Any]:
    """Return how a command stands that is offered by who sends what is due."""
    return {"state": CommandState.PENDING, "sent": 0, "sent_at": None, "due_at": now}


def _offered(now: datetime) -> dict[str, Any]:
    return {"state": CommandState.OFFERED, "sent": 1, "sent_at": now, "due_at": now + AGAIN[CommandState.OFFERED]}


def rows_of(
    connection: Connection,
    rollout: RowMapping,
    spec: RolloutSpec,
    free: Free,
    now: datetime,
    standing: dict[str, Any],
) -> list[dict[str, Any]]:
    """Return the rows of the commands of the hosts in *free*, which stand as *standing* says; none for a host of which every
    container is held.
    """
    host_ids = list(free)
    policies = measured_for(connection, now, effective_for(connection, host_ids))
    foreign = _foreign(connection, host_ids)
    deadline = now + timedelta(milliseconds=spec.tries.dispatch_ttl_ms)
    found = []
    blank: dict[int, dict[str, Any]] = {}
    for host_id, (targets, _) in free.items():
        if targets:
            policy = policies[host_id].policy
            if id(policy) not in blank:
                blank[id(policy)] = _blank(policy, spec)
            order = _order(targets, blank[id(policy)], foreign)
            found.append(_row(rollout, host_id, order, now, deadline) | standing)
    return found


def _blank(policy: Policy, spec: RolloutSpec) -> dict[str, Any]:
    """Return an order for nobody, as it is written, with all that the orders under one policy hold alike."""
    tries = spec.tries
    timed = with_times(
        policy,
        pull_timeout_ms=tries.pull_timeout_ms,
        apply_timeout_ms=tries.apply_timeout_ms,
        min_healthy_ms=tries.min_healthy_ms,
    )
    return Order.of(UpdateCommand(id=new_id(), targets=(), policy=timed, pull_ids={})).model_dump(mode="json")


def _foreign(connection: Connection, host_ids: Sequence[UUID]) -> dict[str, str]:
    """Return container id -> platform for the containers that these hosts only emulate."""
    c = containers.c
    kinds = select(hosts.c.os, hosts.c.architecture).where(among(connection, hosts.c.id, host_ids)).distinct()
    known = connection.execute(kinds).all()
    query = select(c.id, c.platform).where(among(connection, c.host_id, host_ids), c.platform != "")
    if len(known) == 1 and known[0].architecture:
        # As nearly always: to look up the host of each container takes several times as long.
        own: Any = f"{known[0].os}/{known[0].architecture}"
    else:
        query = query.join(hosts, hosts.c.id == c.host_id).where(hosts.c.architecture != "")
        own = hosts.c.os + "/" + hosts.c.architecture
    rows = connection.execute(query.where(c.platform != own, ~c.platform.startswith(own + "/")))
    # What a host tells of one container must not stand in the way of all that are dispatched with it.
    return {row.id: row.platform for row in rows if readable(row.platform)}


def _order(pinned: Sequence[Mapping[str, Any]], blank: Mapping[str, Any], foreign: Mapping[str, str]) -> dict[str, Any]:
    """Return an order as it is written; to make the message of it first takes as long as all else for a host."""
    # The command's own id first: ids of its facts sort after it.
    id = new_id()
    targets = []
    pulls: dict[str, str] = {}
    for each in pinned:
        target, key = _target(each, foreign.get(each["container_id"], ""))
        targets.append(target)
        if key not in pulls:
            pulls[key] = str(new_id())
    return {**blank, "command": str(id), "targets": targets, "pull_ids": pulls}


def _target(pinned: Mapping[str, Any], platform: str) -> tuple[dict[str, Any], str]:
    """Return a target as it is written in an order, and the key of its pull."""
    named, key = _named(pinned["reference"], pinned["digest"], pinned.get("old_digest") or "", platform)
    target = {
        "update_id": str(new_id()),
        "container_id": pinned["container_id"],
        "container": pinned["container"],
        "image_id": pinned["image_id"],
    }
    return {**target, **named}, key


@lru_cache(maxsize=1024)
def _named(reference: str, digest: str, old_digest: str, platform: str) -> tuple[Mapping[str, str], str]:
    """Return what an order says of an image and its pull's key; many hosts run the same few images."""
    target = Target(
        update_id=_NOBODY,
        container_id="",
        container="",
        image_id="",
        reference=Reference.parse(reference),
        digest=Digest.parse(digest),
        old_digest=_told_digest(old_digest),
        platform=Platform.parse(platform) if platform else None,
    )
    order = Order.of(UpdateCommand(id=_NOBODY, targets=(target,), policy=Policy(), pull_ids={}))
    written = order.targets[0].model_dump(mode="json")
    own = ("update_id", "container_id", "container", "image_id")
    return {name: text for name, text in written.items() if name not in own}, pull_key(target)


def _told_digest(text: str) -> Digest | None:
    """Return the digest that a host told of its container; None where it is none, which must stop nobody else's order."""
    try:
        return Digest.parse(text) if text else None
    except BadInput:
        return None


_NOBODY = UUID(int=0)


def _row(
    rollout: RowMapping, host_id: UUID, order: Mapping[str, Any], now: datetime, deadline: datetime
) -> dict[str, Any]:
    return {
        "id": UUID(order["command"]),
        "host_id": host_id,
        "rollout_id": rollout["id"],
        "asked_by": rollout["asked_by"],
        "order": order,
        "targets": len(order["targets"]),
        "reason": "",
        "created_at": now,
        "changed_at": now,
        "deadline": deadline,
        "ended_at": None,
    }
