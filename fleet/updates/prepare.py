"""Look whether one target may be recreated, and write the whole update down before anything is touched."""

import contextlib
from collections.abc import Sequence
from typing import Any

from fleet.engine.protocol import CreateSpec, Engine, Inspect
from fleet.engine.spec import COMPOSE_IMAGE_LABEL, new_spec
from fleet.errors import BadInput, EngineError, EngineUnreachable
from fleet.images.reference import Reference
from fleet.updates.command import LooseFiles, Target, UpdateOrder
from fleet.updates.emulated import foreign_platform
from fleet.updates.follower import Follower
from fleet.updates.followers import SWARM_LABEL, followers_of, obstacle_of, others_of, peers_of
from fleet.updates.hooks import check_hooks, forbidden
from fleet.updates.journal import Stage
from fleet.updates.loose import loose_files, told
from fleet.updates.myself import own_id
from fleet.updates.outcome import PullOutcome, Result, UpdateOutcome
from fleet.updates.overlap import hindrance, wanted_order, with_new_macs
from fleet.updates.probe import probes_of
from fleet.updates.run import Run
from fleet.updates.stopping import stopping

Siblings = Sequence[tuple[Target, PullOutcome]]
UNKNOWN_IMAGE = "cannot tell what came from the old image, which the engine has lost: every setting was kept"
"""Stands first in the config diff where it is so."""


def prepare(run: Run, siblings: Siblings) -> UpdateOutcome | None:
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
        others = others_of(engine, old)
        going = followers_of(old, others)
        obstacle = obstacle or _own(old, going) or obstacle_of(old, going) or _another_agent(run, others)
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
        return run.close(Result.FAILED, reason_of(run, error))
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


def _another_agent(run: Run, others: Sequence[Inspect]) -> str:
    """Return why another agent seems to be updating the container, or empty.

    It may have taken the restart policy off already, and what is written down of the container now would be without it.
    """
    begins, known = f"{run.target.container}.fleet-new-", set(run.journal.leftovers())
    named = {str(other["Name"]).lstrip("/"): str(other["Id"]) for other in others}
    for name, id in named.items():
        if name.startswith(begins) and not {name, id} & known:
            return f"another agent is at it, as {name} shows: one agent alone may use an engine (else: docker rm -f {name})"
    return ""


def _new_container(
    run: Run, old: Inspect, *, name: str, image: str, image_id: str, told_compose: str | None = None
) -> CreateSpec:
    """Return what makes *old* again under *name* from *image*, which is to be *image_id*; Compose is told that, or the other."""
    engine, facts = run.engine, run.engine.facts()
    old_image = engine.image(old["Image"]) or run.journal.images.get(old["Image"])
    spec = new_spec(
        old,
        old_image,
        name=name,
        image=image,
        image_id=image_id if told_compose is None else told_compose,
        api_version=facts.api_version,
        peers=peers_of(engine, old),
        engine_name=facts.name,
        platform=foreign_platform(engine.image(image_id) or old_image, facts.architecture),
    )
    return with_new_macs(old, spec)


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
    told_compose = image_id if target else label
    spec = _new_container(run, old, name=new_name, image=image, image_id=image_id, told_compose=told_compose)
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


def reason_of(run: Run, error: Exception) -> str:
    """Return why an update failed, from what was raised in it."""
    text = str(error)
    if text.startswith("cannot"):
        return text
    if isinstance(error, OSError):
        return f"cannot write the journal at {run.journal.path}: {error.strerror}; is the disk full?"
    return f"cannot update {run.target.container}: {type(error).__name__}: {text}"
