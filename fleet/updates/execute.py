"""Carry one target to its end, and after a crash every update that was in flight."""

import contextlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fleet.clock import Clock
from fleet.engine.protocol import CreateSpec, Engine, Inspect
from fleet.engine.spec import COMPOSE_IMAGE_LABEL, new_spec
from fleet.errors import BadInput, EngineError, EngineUnreachable
from fleet.images.reference import Reference
from fleet.updates.command import LooseFiles, Policy, Target, UpdateOrder
from fleet.updates.follower import Follower
from fleet.updates.followers import SWARM_LABEL, followers_of, obstacle_of, peers_of
from fleet.updates.hooks import NotNow, check_hooks, forbidden, left_undone, run_after
from fleet.updates.journal import Journal, Stage, UpdateEntry
from fleet.updates.loose import loose_files, told
from fleet.updates.myself import own_id
from fleet.updates.outcome import Phases, PullOutcome, Result, UpdateOutcome
from fleet.updates.overlap import hindrance, wanted_order
from fleet.updates.probe import probes_of
from fleet.updates.recreate import REMOVAL_WAITS_S, finish, recreate
from fleet.updates.rollback import roll_back
from fleet.updates.run import Progress, Run
from fleet.updates.stopping import stopping
from fleet.updates.together import start_verified_followers

Siblings = Sequence[tuple[Target, PullOutcome]]
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
    siblings: Siblings = (),
) -> UpdateOutcome:
    """Bring one container to the image that was pulled, or back; return its outcome, which the journal keeps too.

    Who lives in its namespaces goes with it: to its own new image where *siblings*, the further targets of the command
    and their pulls, hold one. The outcome of such a target is in the journal then, and the same call for it returns it.

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
    refusal = _prepare(run, siblings)
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
    ended = [(run.entry.command, _resume(run)) for run in runs]
    known = {run.entry.update_id for run in runs}
    return ended + [(e.command, e.outcome) for e in journal.updates() if e.outcome and e.update_id not in known]


def _carry_out(run: Run) -> UpdateOutcome:
    """Recreate, and finish or roll back; whatever goes wrong on the way, the old container comes back."""
    try:
        recreate(run)
    except Exception as error:
        return roll_back(run, _reason(run, error), not_now=isinstance(error, NotNow))
    run.remark(run_after(run))
    return _finish(run)


def _resume(run: Run) -> UpdateOutcome:
    if run.entry.outcome is not None:
        return run.entry.outcome
    if run.entry.stage is not Stage.REMOVE:
        return roll_back(run, INTERRUPTED, interrupted=True)
    trouble = _start_verified(run)
    if trouble:
        return roll_back(run, trouble)
    run.remark(left_undone(run))
    return _finish(run)


def _start_verified(run: Run) -> str:
    """See that the new container, which was verified before the crash, runs; return empty, or why it does not.

    One refusal of the engine is not enough to go back for: the old container may be gone already, and its image too.
    """
    for wait_s in (*REMOVAL_WAITS_S, None):
        try:
            return _verified_runs(run)
        except EngineError as error:
            if wait_s is None:
                return str(error)
            run.clock.sleep(wait_s)
    raise AssertionError("the last try returns")


def _verified_runs(run: Run) -> str:
    """Start the new container unless it runs; return empty, or why there is none.

    Where somebody has put another container in its place since, that one is left alone and the update is over.
    """
    new, namesake = run.find_new(), run.named(run.target.container)
    if new is None and namesake is not None and namesake["Id"] != run.target.container_id:
        return ""
    if new is None:
        return f"cannot find the new {run.target.container} any more, which had been verified"
    started = not new["State"].get("Running")
    if started:
        run.engine.start(new["Id"])
    start_verified_followers(run, anew=started)
    return ""


def _finish(run: Run) -> UpdateOutcome:
    """Remove the old container; what fails here leaves something over and changes nothing about the success.

    Unless the old one cannot be stopped: then it is the new one that goes, since two must not run.
    """
    try:
        left = finish(run)
    except EngineError as error:
        return roll_back(run, str(error))
    run.remark(f"left over: {left}" if left else "")
    return run.close(Result.UPDATED, run.entry.remark)


def _prepare(run: Run, siblings: Siblings) -> UpdateOutcome | None:
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
        going = followers_of(engine, old)
        obstacle = obstacle or _own(old, going) or obstacle_of(old, going)
        followers = [] if obstacle else [_follower(run, each, siblings) for each in going]
        obstacle = obstacle or next((f"{each.name} goes with it: {why}" for why, each in followers if why), "")
        if obstacle:
            return run.close(Result.SKIPPED, f"cannot update {target.container}: {obstacle}")
        image = _written_reference(old, target.reference)
        spec = _new_container(run, old, name=run.entry.new_name, image=image, image_id=run.entry.pull.image_id)
        new, members = _fields(run, old, spec), tuple(each for _, each in followers)
        known = new["config_diff"] + loose["config_diff"]
        told = {"config_diff": known, "known_before": known, "followers": members}
        run.save(Stage.CREATE, old=old, **(new | loose | told | _order(run, old, spec, members)))
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
        check_hooks(labels)
        stopping(labels)
    except BadInput as error:
        return str(error)
    return ""


def _own(old: Inspect, going: Sequence[Inspect]) -> str:
    """Return why the agent's own container must not be stopped from within, or empty."""
    own = own_id()
    if own and old["Id"] == own:
        return "it is the agent itself, which a stand-in updates"
    return "the agent itself lives in it" if own and own in [each["Id"] for each in going] else ""


def _new_container(run: Run, old: Inspect, *, name: str, image: str, image_id: str) -> CreateSpec:
    """Return what makes *old* again under *name* from *image*, which is to be *image_id*."""
    engine, facts = run.engine, run.engine.facts()
    old_image = engine.image(old["Image"]) or run.journal.images.get(old["Image"])
    return new_spec(
        old,
        old_image,
        name=name,
        image=image,
        image_id=image_id,
        api_version=facts.api_version,
        peers=peers_of(engine, old),
        engine_name=facts.name,
        platform=_foreign_platform(old_image, facts.architecture),
    )


def _fields(run: Run, old: Inspect, spec: CreateSpec) -> dict[str, Any]:
    """Return the fields of the record that describe the new container."""
    known = run.engine.image(old["Image"]) or run.journal.images.get(old["Image"])
    connect = tuple((network, dict(endpoint)) for network, endpoint in spec.connect)
    told = () if known else (UNKNOWN_IMAGE,)
    return {"body": dict(spec.body), "connect": connect, "platform": spec.platform, "config_diff": told}


def _order(run: Run, old: Inspect, spec: CreateSpec, followers: Sequence[Follower]) -> dict[str, Any]:
    """Return the fields of the record that say which container is acted on first, and why not as it was wished."""
    wanted = wanted_order(old["Config"].get("Labels") or {}, run.entry.policy.order)
    names = ", ".join(follower.name for follower in followers)
    hindered = hindrance(old, spec) or (f"{names} cannot live in both" if names else "")
    remarks = [f"recreated with it: {names}"] if names else []
    if wanted is UpdateOrder.START_FIRST and hindered:
        wanted = UpdateOrder.STOP_FIRST
        remarks.append(f"stopped first, cannot start first: {hindered}")
    unheard = "" if run.entry.policy.hooks else forbidden(old)
    remarks += [unheard] if unheard else []
    return {"order": wanted, "remark": "; ".join(remarks)}


def _follower(run: Run, old: Inspect, siblings: Siblings) -> tuple[str, Follower]:
    """Return why *old* cannot go with what is updated, or empty; and what is written down of it."""
    target, pull = next(
        ((t, p) for t, p in siblings if p.ok and (t.container_id, t.image_id) == (old["Id"], old["Image"])),
        (None, None),
    )
    image_id = pull.image_id if pull else str(old["Image"])
    label = (old["Config"].get("Labels") or {}).get(COMPOSE_IMAGE_LABEL, "")
    new_name = f"{old['Name'].lstrip('/')}.fleet-new-{run.entry.update_id.hex[-8:]}"
    image = _written_reference(old, target.reference) if target else str(old["Config"]["Image"])
    spec = _new_container(run, old, name=new_name, image=image, image_id=image_id if target else label)
    obstacle, loose = _loose(run, old)
    fields = _fields(run, old, spec)
    told = fields.pop("config_diff") + loose.get("config_diff", ())
    return obstacle, Follower(
        old=old,
        image_id=image_id,
        new_name=new_name,
        target=target,
        pull=pull,
        copies=loose.get("copies", ()),
        config_diff=told,
        **fields,
    )


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
