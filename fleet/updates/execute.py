"""Carry one target to its end, and after a crash every update that was in flight."""

import contextlib
from typing import Any
from uuid import UUID

from fleet.clock import Clock
from fleet.engine.protocol import CreateSpec, Engine, Inspect
from fleet.engine.spec import new_spec, shares_with
from fleet.errors import BadInput, EngineError, EngineUnreachable
from fleet.images.reference import Reference
from fleet.updates.command import LooseFiles, Policy, Target, UpdateOrder
from fleet.updates.journal import Journal, Stage, UpdateEntry
from fleet.updates.loose import loose_files, told
from fleet.updates.outcome import Phases, PullOutcome, Result, UpdateOutcome
from fleet.updates.overlap import hindrance, wanted_order
from fleet.updates.probe import probes_of
from fleet.updates.recreate import finish, peers_of, recreate
from fleet.updates.rollback import roll_back
from fleet.updates.run import Progress, Run

SWARM_LABEL = "com.docker.swarm.task.id"
UNKNOWN_IMAGE = "cannot tell what came from the old image, which the engine has lost: every setting was kept"
"""Stands first in the config diff where it is so."""
INTERRUPTED = "cannot finish the update: the agent was interrupted"


def _silent(phase: str) -> None:
    """Tell nobody."""


def recreate_target(
    engine: Engine,
    journal: Journal,
    target: Target,
    policy: Policy,
    pull: PullOutcome,
    *,
    command_id: UUID,
    clock: Clock,
    progress: Progress = _silent,
) -> UpdateOutcome:
    """Bring one container to the image that was pulled, or back; return its outcome, which the journal keeps too.

    Taken again for the same update it ends what was begun, or returns the outcome that it had. Raises EngineUnreachable
    where the engine stays away: the record stays open, and ``recover`` or the same call ends it later.
    """
    known = journal.update(target.update_id)
    if known is not None:
        run = Run(engine=engine, journal=journal, entry=known, clock=clock, progress=progress)
        return _resume(run)
    blank = _blank(target, policy, pull, command_id)
    run = Run(engine=engine, journal=journal, entry=blank, clock=clock, progress=progress)
    if not pull.ok:
        return run.close(Result.FAILED, pull.reason or f"cannot update {target.container}: its image was not pulled")
    _sweep(engine, journal)
    refusal = _prepare(run)
    return refusal or _carry_out(run)


def recover(
    engine: Engine, journal: Journal, clock: Clock, *, progress: Progress = _silent
) -> list[tuple[UUID, UpdateOutcome]]:
    """Take every update in flight to its end, and return (command, outcome) of each that was not yet forgotten.

    Finished where the new container was verified already, rolled back otherwise. Raises EngineUnreachable where the
    engine stays away; the rest stays open.
    """
    _sweep(engine, journal)
    runs = [Run(engine=engine, journal=journal, entry=e, clock=clock, progress=progress) for e in journal.updates()]
    return [(run.entry.command, _resume(run)) for run in runs]


def _carry_out(run: Run) -> UpdateOutcome:
    """Recreate, and finish or roll back; whatever goes wrong on the way, the old container comes back."""
    try:
        recreate(run)
    except Exception as error:
        return roll_back(run, _reason(run, error))
    return _finish(run)


def _resume(run: Run) -> UpdateOutcome:
    if run.entry.outcome is not None:
        return run.entry.outcome
    trouble = _start_verified(run) if run.entry.stage is Stage.REMOVE else INTERRUPTED
    return roll_back(run, trouble) if trouble else _finish(run)


def _start_verified(run: Run) -> str:
    """See that the new container, which was verified before the crash, runs; return empty, or why it does not.

    Where somebody has put another container in its place since, that one is left alone and the update is over.
    """
    try:
        new, namesake = run.find_new(), run.named(run.target.container)
        if new is None and namesake is not None and namesake["Id"] != run.target.container_id:
            return ""
        if new is None:
            return f"cannot find the new {run.target.container} any more, which had been verified"
        if not new["State"].get("Running"):
            run.engine.start(new["Id"])
    except EngineError as error:
        return str(error)
    return ""


def _finish(run: Run) -> UpdateOutcome:
    """Remove the old container; what fails here leaves something over and changes nothing about the success.

    Unless the old one cannot be stopped: then it is the new one that goes, since two must not run.
    """
    try:
        left = finish(run)
    except EngineError as error:
        return roll_back(run, str(error))
    told = (run.entry.remark, f"left over: {left}" if left else "")
    return run.close(Result.UPDATED, "; ".join(filter(None, told)))


def _prepare(run: Run) -> UpdateOutcome | None:
    """Check the preconditions and write the whole update down; return the outcome where it ends here."""
    engine, target = run.engine, run.target
    try:
        old = engine.inspect(target.container_id)
        if old is None:
            return run.close(Result.SKIPPED, f"cannot update {target.container}: it is not there any more; plan again")
        if old["Image"] == run.entry.pull.image_id:
            return run.close(Result.ALREADY_CURRENT)
        obstacle = _obstacle(engine, target, old)
        if obstacle:
            return run.close(Result.SKIPPED, f"cannot update {target.container}: {obstacle}")
        obstacle, loose = _loose(run, old)
        if obstacle:
            return run.close(Result.SKIPPED, f"cannot update {target.container}: {obstacle}")
        new = _new_container(run, old)
        run.save(Stage.CREATE, old=old, **(new | loose | {"config_diff": new["config_diff"] + loose["config_diff"]}))
    except EngineUnreachable:
        raise
    except Exception as error:
        return run.close(Result.FAILED, _reason(run, error))
    return None


def _obstacle(engine: Engine, target: Target, old: Inspect) -> str:
    """Return why *old* must not be touched, or empty."""
    state, labels = old["State"], old["Config"].get("Labels") or {}
    if old["Name"].lstrip("/") != target.container:
        return f"it is named {old['Name'].lstrip('/')} now; plan again"
    if old["Image"] != target.image_id:
        return "it runs another image than the plan saw; plan again"
    if not state.get("Running") or state.get("Paused"):
        return f"it is {state.get('Status') or 'not running'}, and only running containers are updated"
    if SWARM_LABEL in labels:
        return "it belongs to a Swarm service, which Swarm updates"
    try:
        probes_of(labels)
        wanted_order(labels, UpdateOrder.STOP_FIRST)
    except BadInput as error:
        return str(error)
    for other in _others(engine, target.container_id):
        how = shares_with(other, old)
        if how:
            return (
                f"container {other['Name'].lstrip('/')} depends on it ({how}) and would lose its network or namespace"
            )
    return ""


def _others(engine: Engine, own_id: str) -> list[Inspect]:
    found = (engine.inspect(container) for container in engine.container_ids(all=True) if container != own_id)
    return [other for other in found if other is not None]


def _new_container(run: Run, old: Inspect) -> dict[str, Any]:
    """Return the fields of the record that describe the new container."""
    engine, entry = run.engine, run.entry
    facts = engine.facts()
    old_image = engine.image(old["Image"]) or run.journal.images.get(old["Image"])
    spec = new_spec(
        old,
        old_image,
        name=entry.new_name,
        image=_written_reference(old, entry.target.reference),
        image_id=entry.pull.image_id,
        api_version=facts.api_version,
        peers=peers_of(engine, old),
        engine_name=facts.name,
        platform=_foreign_platform(old_image, facts.architecture),
    )
    connect = tuple((network, dict(endpoint)) for network, endpoint in spec.connect)
    told = () if old_image else (UNKNOWN_IMAGE,)
    made = {"body": dict(spec.body), "connect": connect, "platform": spec.platform, "config_diff": told}
    return made | _order(entry.policy.order, old, spec)


def _order(wished: UpdateOrder, old: Inspect, spec: CreateSpec) -> dict[str, Any]:
    """Return the fields of the record that say which container is acted on first, and why not as it was wished."""
    wanted = wanted_order(old["Config"].get("Labels") or {}, wished)
    hindered = hindrance(old, spec) if wanted is UpdateOrder.START_FIRST else ""
    if not hindered:
        return {"order": wanted}
    return {"order": UpdateOrder.STOP_FIRST, "remark": f"stopped first, cannot start first: {hindered}"}


def _loose(run: Run, old: Inspect) -> tuple[str, dict[str, Any]]:
    """Return why loose files keep the container from its update, or empty; and what the record says of them."""
    policy = run.entry.policy.loose_files
    try:
        files = loose_files(run.engine, old)
    except EngineError as error:
        if policy is not LooseFiles.WARN:
            raise
        return "", {"config_diff": (f"cannot tell which files stand only in the writable layer: {error}",)}
    if files and policy is LooseFiles.REFUSE:
        return f"files stand only in its writable layer, as {files[0]}, and the policy refuses to lose them", {}
    copied = policy is LooseFiles.COPY
    return "", {"config_diff": told(files, copied=copied), "copies": files if copied else ()}


def _written_reference(old: Inspect, reference: Reference) -> str:
    """Return the image's name as the user wrote it, where that still means the target's reference."""
    written = str(old["Config"]["Image"])
    with contextlib.suppress(BadInput):
        if Reference.parse(written).with_tag_latest() == reference.without_digest().with_tag_latest():
            return written
    return reference.without_digest().with_tag_latest().familiar


def _foreign_platform(old_image: Inspect, architecture: str) -> str:
    """Return the old image's platform where it is not the machine's own (emulation), else empty."""
    own = str(old_image.get("Architecture") or architecture)
    if own == architecture:
        return ""
    return "/".join(part for part in (old_image.get("Os") or "linux", own, old_image.get("Variant")) if part)


def _sweep(engine: Engine, journal: Journal) -> None:
    """Remove what earlier updates left over; what does not go, or cannot be crossed off, waits for the next time."""
    for container in journal.leftovers():
        with contextlib.suppress(EngineError, OSError):
            engine.remove(container)
            journal.drop_leftover(container)


def _reason(run: Run, error: Exception) -> str:
    text = str(error)
    if text.startswith("cannot"):
        return text
    if isinstance(error, OSError):
        return f"cannot write the journal at {run.journal.path}: {error.strerror}; is the disk full?"
    return f"cannot update {run.target.container}: {type(error).__name__}: {text}"


def _blank(target: Target, policy: Policy, pull: PullOutcome, command_id: UUID) -> UpdateEntry:
    """Return the record of an update that has not begun."""
    return UpdateEntry(
        command=command_id,
        target=target,
        policy=policy,
        pull=pull,
        stage=Stage.CREATE,
        old={},
        body={},
        phases=Phases(pull_ms=pull.duration_ms),
    )
