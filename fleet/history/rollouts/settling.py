"""When every target of a command has its outcome: the command is done, and its host knows where it stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.commands.moves import Command, HostTry
from fleet.history.sql.among import among
from fleet.history.tables.facts import pulls, updates
from fleet.ids import uuid_of
from fleet.rollouts.failures import Failed, failure_of, tried_again, worst
from fleet.rollouts.spec import RolloutSpec, TrySpec
from fleet.rollouts.states import CommandState, HostState
from fleet.rollouts.tries import backoff
from fleet.rollouts.verdict import settled, verdict
from fleet.updates.outcome import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one target."""

    result: Result
    reason: str
    failed: Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the row of an outcome tells, with the ``ok`` of its pull."""

    id: UUID
    result: Result
    reason: str
    new_digest: str
    create_ms: int | None
    interrupted: bool | None
    ok: bool | None


def settle(
    connection: Connection,
    commands: Sequence[Command],
    tries: Mapping[tuple[UUID, UUID], HostTry],
    specs: Mapping[UUID, RolloutSpec],
    now: datetime,
    written: Mapping[UUID, Told],
) -> None:
    """Move the commands that have all of their outcomes, and their hosts; the rows of the outcomes decide.

    *specs* are those of the commands' rollouts; *written* are the rows that this transaction has just made.
    """
    for command, results in _results(connection, _perhaps_whole(connection, commands), written):
        if len(results) < command.targets:
            continue
        host = tries.get((command.rollout_id, command.host_id))
        # A late outcome of an earlier command says nothing about the try that is under way now.
        if host is not None and host.command_id == command.id:
            state = settled(host.state, command.state, verdict([each.result for each in results]))
            if state is not None:
                host.tries += 1 if host.state.live else 0
                _end(host, results, state, specs[command.rollout_id].tries, now)
        if not command.state.ended:
            command.move(CommandState.DONE, now)


def _end(host: HostTry, results: Sequence[Came], state: HostState, spec: TrySpec, now: datetime) -> None:
    """Move a host to where its outcomes bring it: a failure may give it another turn."""
    reason = _why(results, state)
    host.failure = None
    if state is not HostState.FAILED:
        host.move(state, now, reason=reason)
        return
    failure = worst([failure_of(each.failed) for each in results if verdict([each.result]) is HostState.FAILED])
    host.failure = failure.value
    if host.state.live and tried_again(failure, host.tries, spec):
        host.not_before = now + backoff(host.tries, spec, host.host_id)
        host.move(HostState.PENDING, now, reason=reason)
    else:
        host.move(state, now, reason=reason)


def _perhaps_whole(connection: Connection, commands: Sequence[Command]) -> list[Command]:
    """Return the commands whose last target has its outcome: of those that are under way it is the one that is missing.

    To read what all targets of a host came to, for each of its outcomes, takes longer than all else that is done for it.
    """
    alone = [each for each in commands if each.targets == 1]
    last = {uuid_of(each.order["targets"][-1]["update_id"]): each for each in commands if each.targets > 1}
    if not last:
        return alone
    query = select(updates.c.id).where(among(connection, updates.c.id, last))
    return alone + [last[id] for id in connection.execute(query).scalars().all()]


def _results(
    connection: Connection, commands: Sequence[Command], written: Mapping[UUID, Told]
) -> Iterator[tuple[Command, list[Came]]]:
    """Yield each command with what stands in the history for its targets, in the order of their ids."""
    pinned = [
        sorted(((uuid_of(t["update_id"]), t["digest"]) for t in each.order["targets"]), key=_by_number)
        for each in commands
    ]
    found = [[written.get(id) for id, _ in named] for named in pinned]
    # By the ids that the orders name, since an index on anything else would be searched in every partition.
    missing = [
        id
        for named, some in zip(pinned, found, strict=True)
        for (id, _), told in zip(named, some, strict=True)
        if told is None
    ]
    read = _read(connection, missing)
    for command, named, some in zip(commands, pinned, found, strict=True):
        told = ((each or read.get(id), digest) for (id, digest), each in zip(named, some, strict=True))
        yield command, [_came(each, digest) for each, digest in told if each is not None]


def _by_number(pinned: tuple[UUID, str]) -> int:
    return pinned[0].int


def _read(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Told]:
    """Return what the rows of outcomes with these ids tell."""
    if not ids:
        return {}
    c = updates.c
    query = select(c.id, c.result, c.reason, c.new_digest, c.create_ms, c.interrupted, pulls.c.ok)
    query = query.outerjoin(pulls, pulls.c.id == updates.c.pull_id)
    rows = connection.execute(query.where(among(connection, updates.c.id, ids))).mappings().all()
    return {row["id"]: Told(**row) for row in rows}


def _came(told: Told, pinned: str) -> Came:
    result, reason = _as_told(told, pinned)
    return Came(result=result, reason=reason, failed=failed_update(told, result))


def told_by(row: Mapping[str, Any], ok: bool | None) -> Told:
    """Return what a row of ``updates`` tells, whose pull is *ok*."""
    return Told(
        id=row["id"],
        result=row["result"],
        reason=row["reason"],
        new_digest=row["new_digest"],
        create_ms=row["create_ms"],
        interrupted=row["interrupted"],
        ok=ok,
    )


def failed_update(row: Any, result: Result) -> Failed:
    """Return what tells whose fault an update is, of its row with the ``ok`` of its pull, where it counts as *result*."""
    created, cut_off = row.create_ms is not None, bool(row.interrupted)
    return Failed(result=result, pulled=row.ok, created=created, interrupted=cut_off)


def _as_told(row: Told, pinned: str) -> tuple[Result, str]:
    """Return what an outcome counts as: a success of another digest than the pinned one is none."""
    if verdict([row.result]) is HostState.SUCCEEDED and row.new_digest != pinned:
        return Result.FAILED, f"cannot count it as a success: the host tells of {row.new_digest}, and not of {pinned}"
    return row.result, row.reason


def _why(results: Sequence[Came], state: HostState) -> str:
    """Return the reason of the first outcome that made the host end so."""
    if state is HostState.SUCCEEDED:
        return ""
    return next((each.reason for each in results if verdict([each.result]) is state), "")
