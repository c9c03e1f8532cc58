"""The routes of rollouts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from fleet.api.rollouts import (
    AnswerWave,
    ResumeRollout,
    Rollout,
    RolloutAnswer,
    RolloutHost,
    RolloutImage,
    Rollouts,
    StopRollout,
    Undone,
    UndoRollout,
    Wave,
)
from fleet.controller.plans import stopped_of
from fleet.controller.spec_warnings import spec_warnings
from fleet.controller.windows_told import windows_told
from fleet.errors import NotFound
from fleet.history.inventory.hosts import hosts
from fleet.history.questions import queries
from fleet.history.questions.queries import ProgressRow, RolloutDetail, RolloutHostRow, RolloutRow
from fleet.history.rollouts import people
from fleet.history.rollouts.people import abort_rollout as abort
from fleet.history.rollouts.people import hold_rollout, release_rollout
from fleet.history.rules.refusing import refused_hosts
from fleet.history.sql.pages import PageRequest
from fleet.rollouts.naming import named
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import WAITING, RolloutState
from fleet.rollouts.stops import freezing
from fleet.web.callers import Reader, Writer
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/rollouts", tags=["rollouts"])


@router.get("")
def list_rollouts(
    centre: ThisCentre, _: Reader, limit: Annotated[int, Query(ge=1, le=500)] = 50, page: str = ""
) -> Rollouts:
    """List rollouts, newest first."""
    found = queries.rollouts(centre.db, PageRequest(limit=limit, cursor=page))
    return Rollouts(rollouts=tuple(_rollout(row) for row in found.items), next_page=found.next or None)


@router.get("/{id}")
def show_rollout(centre: ThisCentre, _: Reader, id: str) -> RolloutAnswer:
    """Show a rollout with its hosts and how far they are; by its id, the last 8 digits of it, or its number."""
    return _answer(centre, id)


@router.post("/{id}/abort")
def abort_rollout(centre: ThisCentre, caller: Writer, id: str, body: StopRollout) -> RolloutAnswer:
    """Send nothing new; what is being recreated may end."""
    rollout_id = queries.rollout(centre.db, id).rollout.id
    abort(centre.db, rollout_id, reason=body.reason, **caller.by())
    return _answer(centre, rollout_id.hex)


@router.post("/{id}/pause")
def pause_rollout(centre: ThisCentre, caller: Writer, id: str, body: StopRollout) -> RolloutAnswer:
    """Send nothing new until it is resumed; what touched no container yet is called off."""
    rollout_id = queries.rollout(centre.db, id).rollout.id
    hold_rollout(centre.db, rollout_id, reason=body.reason, **caller.by())
    return _answer(centre, rollout_id.hex)


@router.post("/{id}/resume")
def resume_rollout(centre: ThisCentre, caller: Writer, id: str, body: ResumeRollout | None = None) -> RolloutAnswer:
    """Take one hold away, a person's by default; other holds stay."""
    rollout_id = queries.rollout(centre.db, id).rollout.id
    asked = body or ResumeRollout()
    release_rollout(centre.db, rollout_id, hold=asked.hold, reason=asked.reason, **caller.by())
    return _answer(centre, rollout_id.hex)


@router.post("/{id}/approve")
def approve_wave(centre: ThisCentre, caller: Writer, id: str, body: AnswerWave) -> RolloutAnswer:
    """Approve a wave, by default the next one that asks for it."""
    rollout_id = queries.rollout(centre.db, id).rollout.id
    people.approve_wave(centre.db, rollout_id, _place(body), **caller.by())
    return _answer(centre, rollout_id.hex)


@router.post("/{id}/waive")
def waive_wave(centre: ThisCentre, caller: Writer, id: str, body: AnswerWave) -> RolloutAnswer:
    """Let the rollout go on although the gate of a wave was not met."""
    rollout_id = queries.rollout(centre.db, id).rollout.id
    people.waive_wave(centre.db, rollout_id, _place(body), reason=body.reason, **caller.by())
    return _answer(centre, rollout_id.hex)


@router.post("/{id}/retry")
def retry_wave(centre: ThisCentre, caller: Writer, id: str, body: AnswerWave) -> RolloutAnswer:
    """Try the failed hosts of a wave again."""
    rollout_id = queries.rollout(centre.db, id).rollout.id
    people.retry_wave(centre.db, rollout_id, _place(body), **caller.by())
    return _answer(centre, rollout_id.hex)


@router.post("/{id}/undo")
def undo_rollout(centre: ThisCentre, caller: Writer, id: str, body: UndoRollout) -> Undone:
    """Bring back what a rollout updated, on all of its hosts or some, by a rollout of its own; one that runs is stopped first."""
    detail = queries.rollout(centre.db, id)
    only = _chosen_of(detail, body.hosts) if body.hosts else None
    made = people.undo_rollout(centre.db, detail.rollout.id, reason=body.reason, only=only, **caller.by())
    return Undone(rollout_id=made, rollout=queries.rollout_number(centre.db, made) if made else None)


def _chosen_of(detail: RolloutDetail, wanted: tuple[str, ...]) -> set[UUID]:
    """Return those hosts of a rollout that are *wanted*; raise NotFound for one that is named and not in it."""
    number = detail.rollout.number
    for name in wanted:
        selector = Selector(hosts=(name,))
        if not any(selector.takes_host(row.host, {}) for row in detail.hosts):
            raise NotFound(f"cannot find a host {name[:80]!r} in rollout #{number}; see: fleet rollout show {number}")
    selector = Selector(hosts=wanted)
    return {row.host_id for row in detail.hosts if selector.takes_host(row.host, {})}


def _place(body: AnswerWave) -> int | None:
    """Return the wave's number in SQL, which counts from 0."""
    return None if body.wave is None else body.wave - 1


def _answer(centre: Centre, id: str) -> RolloutAnswer:
    detail = queries.rollout(centre.db, id)
    doing = {row.host_id: row for row in queries.progress(centre.db, detail.rollout.id)}
    waiting = {row.host_id for row in detail.hosts if row.state in WAITING and detail.rollout.ended_at is None}
    refused = {id: why for id, why in refused_hosts(centre.db).items() if id in waiting} if waiting else {}
    windows = windows_told(centre.db, detail)
    return RolloutAnswer(
        rollout=_rollout(detail.rollout),
        images=images_of(target for row in detail.hosts for target in row.targets),
        waves=tuple(Wave.model_validate(wave) for wave in detail.waves),
        hosts=tuple(
            _host(row, doing.get(row.host_id), refused.get(row.host_id, ""), windows.missed.get(row.host_id, 0))
            for row in detail.hosts
        ),
        spec=detail.rollout.spec.document(),
        frozen=_frozen(centre, detail, waiting - refused.keys()),
        window=windows.words,
        warnings=_warnings(centre, detail),
        undoes=detail.undoes,
        undone_by=detail.undone_by,
    )


def images_of(targets: Iterable[Mapping[str, Any]]) -> tuple[RolloutImage, ...]:
    """Return what *targets* bring, image by image, to most containers first (pure)."""
    brought: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for target in targets:
        brought[target["image"], target["digest"]][target.get("old_digest", "")] += 1
    found = (
        RolloutImage(
            image=image,
            digest=digest,
            old_digests=tuple(digest for digest, _ in before.most_common() if digest),
            containers=before.total(),
        )
        for (image, digest), before in brought.items()
    )
    return tuple(sorted(found, key=lambda each: (-each.containers, each.image)))


def _warnings(centre: Centre, detail: RolloutDetail) -> tuple[str, ...]:
    if detail.rollout.ended_at is not None:
        return _not_brought_back(centre, detail)
    waiting = [row.host_id for row in detail.hosts if row.state in WAITING]
    if not waiting or detail.rollout.state not in (RolloutState.PLANNED, RolloutState.RUNNING):
        return ()
    planned = [row.host_id for row in detail.hosts]
    over = {wave.number for wave in detail.waves if wave.state.ended}
    return spec_warnings(centre.db, detail.rollout.spec, waiting, planned=planned, over=over)


def _not_brought_back(centre: Centre, detail: RolloutDetail) -> tuple[str, ...]:
    """Return that hosts of a rollout that was undone run what it brought, each of them or their number."""
    names = sorted(people.not_brought_back(centre.db, detail.rollout.id))
    if not names:
        return ()
    remedy = f"fleet rollout undo {detail.rollout.number}"
    return (f"the way back is over, and has not brought back {named(names)}; for another one: {remedy}",)


def _frozen(centre: Centre, detail: RolloutDetail, waiting: Collection[UUID]) -> str:
    """Return in words what freezes every host of *waiting*; empty where one may go on, or none waits."""
    if not waiting:
        return ""
    stopped = stopped_of(centre.db, (row for row in hosts(centre.db) if row.id in waiting))
    names = {row.host_id: row.host for row in detail.hosts}
    found = [freezing(stopped.stops, names[id], labels) for id, labels in stopped.labels.items()]
    return next((stop.words for stop in found if stop), "") if found and all(found) else ""


def _rollout(row: RolloutRow) -> Rollout:
    fields: dict[str, Any] = {name: getattr(row, name) for name in Rollout.model_fields}
    return Rollout(**(fields | {"holds": tuple(sorted(row.holds))}))


def _host(row: RolloutHostRow, doing: ProgressRow | None, refused: str, missed: int) -> RolloutHost:
    far: dict[str, Any] = {}
    if doing is not None:
        far = {name: getattr(doing, name) for name in ("phase", "container", "bytes", "total", "mirror")}
    return RolloutHost(
        host=row.host,
        host_id=row.host_id,
        wave=row.wave,
        state=row.state,
        tries=row.tries,
        reason=row.reason,
        failure=row.failure,
        containers=tuple(str(target.get("container", "")) for target in row.targets),
        changed_at=row.changed_at,
        refused=refused,
        missed_windows=missed,
        **far,
    )
