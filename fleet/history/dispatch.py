"""Write a command for each host whose turn has come: with ids of its updates and pulls, pinned digests and policy."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select

from fleet.history.among import among
from fleet.history.fact_tables import commands
from fleet.history.inventory_tables import containers, hosts
from fleet.history.moves import HostTry, load_hosts, save_hosts
from fleet.history.policies import effective_for
from fleet.history.rollout_tables import rollout_hosts
from fleet.history.speeds import measured_for
from fleet.history.stopping import without_held
from fleet.history.upsert import insert_rows
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.road.messages import Order
from fleet.rollouts.policy import with_times
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, HostState
from fleet.updates.command import Policy, Target, UpdateCommand, pull_key


def dispatch(connection: Connection, rollout: RowMapping, host_ids: Sequence[UUID], now: datetime) -> None:
    """Write the commands of these hosts of one rollout, and move the hosts on; all of them must be pending.

    Containers that people hold, snooze or skip are left out; a host of which nothing is left is skipped.
    """
    if not host_ids:
        return
    spec = RolloutSpec.parse(rollout["spec"])
    mine = (rollout_hosts.c.rollout_id == rollout["id"], among(connection, rollout_hosts.c.host_id, host_ids))
    tries = load_hosts(connection, select(rollout_hosts).where(*mine))
    rows = rows_of(connection, rollout, spec, tries.values(), now)
    ids = {row["host_id"]: row["id"] for row in rows}
    for host in tries.values():
        if host.host_id not in ids:
            held = without_held(connection, [host], now)[host.host_id][1]
            host.move(HostState.SKIPPED, now, reason=held)
            continue
        host.give(ids[host.host_id])
        host.not_before = None
        host.move(HostState.DISPATCHED, now)
    insert_rows(connection, commands, rows)
    save_hosts(connection, tries.values())


def rows_of(
    connection: Connection, rollout: RowMapping, spec: RolloutSpec, tries: Collection[HostTry], now: datetime
) -> list[dict[str, Any]]:
    """Return the rows of the commands of these hosts; none for a host of which every container is held."""
    host_ids = [host.host_id for host in tries]
    policies = measured_for(connection, now, effective_for(connection, host_ids))
    foreign = _foreign(connection, host_ids)
    free = without_held(connection, tries, now)
    deadline = now + timedelta(milliseconds=spec.tries.dispatch_ttl_ms)
    found = []
    for host in tries:
        targets, _ = free[host.host_id]
        if targets:
            order = _order(targets, _with_times(policies[host.host_id].policy, spec), foreign)
            found.append(_row(rollout, host, order, now, deadline))
    return found


def _with_times(policy: Policy, spec: RolloutSpec) -> Policy:
    tries = spec.tries
    return with_times(policy, pull_timeout_ms=tries.pull_timeout_ms, apply_timeout_ms=tries.apply_timeout_ms)


def _foreign(connection: Connection, host_ids: Sequence[UUID]) -> dict[str, str]:
    """Return container id -> platform for the containers that these hosts only emulate."""
    own = hosts.c.os + "/" + hosts.c.architecture
    other = (hosts.c.architecture != "", containers.c.platform != "", containers.c.platform != own)
    query = select(containers.c.id, containers.c.platform).join(hosts, hosts.c.id == containers.c.host_id)
    rows = connection.execute(
        query.where(
            among(connection, containers.c.host_id, host_ids), *other, ~containers.c.platform.startswith(own + "/")
        )
    )
    return {row.id: row.platform for row in rows}


def _order(pinned: Sequence[Mapping[str, Any]], policy: Policy, foreign: Mapping[str, str]) -> UpdateCommand:
    # The command's own id first: ids of its facts sort after it.
    id = new_id()
    targets = tuple(_target(each, foreign.get(each["container_id"], "")) for each in pinned)
    keys = dict.fromkeys(pull_key(target) for target in targets)
    return UpdateCommand(id=id, targets=targets, policy=policy, pull_ids={key: new_id() for key in keys})


def _target(pinned: Mapping[str, Any], platform: str) -> Target:
    old = pinned.get("old_digest") or ""
    return Target(
        update_id=new_id(),
        container_id=pinned["container_id"],
        container=pinned["container"],
        image_id=pinned["image_id"],
        reference=Reference.parse(pinned["reference"]),
        digest=Digest.parse(pinned["digest"]),
        old_digest=Digest.parse(old) if old else None,
        platform=Platform.parse(platform) if platform else None,
    )


def _row(
    rollout: RowMapping, host: HostTry, command: UpdateCommand, now: datetime, deadline: datetime
) -> dict[str, Any]:
    return {
        "id": command.id,
        "host_id": host.host_id,
        "rollout_id": host.rollout_id,
        "asked_by": rollout["asked_by"],
        "state": CommandState.PENDING,
        "order": Order.of(command).model_dump(mode="json"),
        "targets": len(command.targets),
        "sent": 0,
        "reason": "",
        "created_at": now,
        "changed_at": now,
        "sent_at": None,
        "due_at": now,
        "deadline": deadline,
        "ended_at": None,
    }
