"""Replace one container without ever losing it: each step, and beside it the step that takes it back.

Every step is written down before it is begun. An undo looks at the engine and not at the record, and may be taken any
number of times: it does what is still to be done.
"""

import contextlib

from fleet.clock import boot_id, since_ms
from fleet.engine.difference import config_diff
from fleet.engine.protocol import CreateSpec, Inspect
from fleet.engine.spec import COMPOSE_IMAGE_LABEL, new_spec
from fleet.errors import EngineError
from fleet.updates.emulated import foreign_platform
from fleet.updates.followers import peers_of
from fleet.updates.hooks import run_before
from fleet.updates.journal import Stage
from fleet.updates.loose import copy_files
from fleet.updates.meanwhile import check_unchanged
from fleet.updates.namesakes import give_name
from fleet.updates.naming import named_as_written
from fleet.updates.run import NO_RESTART, Run, restart_policy
from fleet.updates.together import (
    create_followers,
    release_followers,
    start_followers,
    stop_followers,
    swap_followers,
    verify_followers,
)
from fleet.updates.verify import verify

REMOVED_WITHIN_S = 60.0
"""How long the engine may take to remove a ``--rm`` container that was stopped."""


def recreate(run: Run) -> None:
    """Take the update from its first step to a verified new container; what it raises is for roll_back to undo."""
    create_new(run)  # taken back by remove_new
    create_followers(run)  # taken back by remove_new_followers
    copy_loose(run)  # taken back by remove_new
    ask_hooks(run)
    if run.start_first:
        start_new(run)  # taken back by remove_new
        verify_new(run)
        release_old(run)  # taken back by hold_old
        swap_names(run)  # taken back by name_old
        run.save(Stage.REMOVE, stopped_at=run.clock.now(), downtime_ms=0)
        return
    release_old(run)  # taken back by hold_old
    stop_old(run)  # taken back by start_old
    swap_names(run)  # taken back by name_old
    start_new(run)  # taken back by remove_new
    verify_new(run)
    start_followers(run)  # taken back by remove_new_followers
    verify_followers(run)
    run.save(Stage.REMOVE)


def create_new(run: Run) -> None:
    """Create the new container under a temporary name while the old one runs: what is wrong with it shows here."""
    run.progress("create")
    began = run.clock.monotonic()
    entry = run.entry
    spec = CreateSpec(name=entry.new_name, body=entry.body, connect=entry.connect, platform=entry.platform)
    new_id = run.engine.create(spec)
    run.note(new_id=new_id, phases=run.took(began, "create_ms"))
    created = run.engine.inspect(new_id) or {}
    if created.get("Image") != entry.pull.image_id:
        raise EngineError(
            f"cannot update {run.target.container}: {entry.body['Image']} does not name the image that was pulled"
        )
    tell_difference(run, created)


def tell_difference(run: Run, new: Inspect) -> None:
    """Note what differs between the old container and the *new* one: as it was created, then as it runs."""
    run.note(config_diff=(*run.entry.known_before, *config_diff(run.entry.old, new)))


def copy_loose(run: Run) -> None:
    """Copy what the policy has copied from the old container's writable layer, while the old one runs."""
    if run.entry.copies:
        copy_files(run.engine, run.entry.copies, run.target.container_id, run.entry.new_id)


def ask_hooks(run: Run) -> None:
    """Let the old containers' hooks say whether they may be updated now, while nothing of them was touched."""
    if run.entry.policy.hooks:
        run.save(Stage.HOOK)
        run_before(run)


def remove_new(run: Run) -> None:
    """Stop and remove the new container, if there is one."""
    new = run.find_new()
    if new is None:
        return
    run.new_was_there = True
    if new["State"].get("Running"):
        with contextlib.suppress(EngineError):
            run.engine.stop(new["Id"])
    run.engine.remove(new["Id"], force=True)


def release_old(run: Run) -> None:
    """Take the old container's restart policy off, or an engine that restarts would start it beside the new one."""
    check_unchanged(run)
    run.save(Stage.RELEASE)
    if restart_policy(run.entry.old) != NO_RESTART:
        run.engine.set_restart_policy(run.target.container_id, NO_RESTART)
    release_followers(run)


def hold_old(run: Run, old: Inspect) -> None:
    """Give the old container its restart policy back."""
    policy = restart_policy(run.entry.old)
    if policy != NO_RESTART and old["HostConfig"].get("RestartPolicy") != policy:
        run.engine.set_restart_policy(old["Id"], policy)


def stop_old(run: Run) -> None:
    """Stop the old container with its own signal and patience. The downtime begins."""
    run.progress("stop")
    began = run.stop_began = run.clock.monotonic()
    run.save(Stage.STOP, stopped_at=run.clock.now(), stopped_tick=began, boot=boot_id())
    stop_followers(run)
    run.stop(run.entry.old)
    if run.entry.old["HostConfig"].get("AutoRemove"):
        await_removal(run, run.target.container_id)
    run.note(phases=run.took(began, "stop_ms"))


def start_old(run: Run, old: Inspect) -> None:
    """Start the old container again."""
    if not old["State"].get("Running"):
        run.engine.start(old["Id"])
        run.note(downtime_ms=run.downtime_ms())


def find_or_make_old(run: Run) -> Inspect:
    """Return the old container once nothing is under way in it, or one made again where the engine removed it."""
    old = run.find_old()
    if old is not None and _may_be_stopping(run, old):
        with contextlib.suppress(EngineError):
            run.engine.stop(old["Id"])
        old = run.find_old()
    if old is not None and _is_going(old):
        await_removal(run, old["Id"])
        old = None
    return old or make_old_again(run)


def _may_be_stopping(run: Run, old: Inspect) -> bool:
    """Tell whether a stop may be under way whose caller is gone: the engine ends it, and the container then stops."""
    same_run = old["State"]["StartedAt"] == run.entry.old["State"]["StartedAt"]
    return run.entry.stopped_at is not None and bool(old["State"].get("Running")) and bool(same_run)


def _is_going(old: Inspect) -> bool:
    """Tell whether the engine removes this container by itself (``--rm``), now or in a moment."""
    state = old["State"]
    ended = not state.get("Running") and state.get("Status") != "created"
    return ended and bool(old["HostConfig"].get("AutoRemove"))


def make_old_again(run: Run) -> Inspect:
    """Create the old container from the journal, for one that the engine removed when it stopped (``--rm``)."""
    old = run.entry.old
    namesake = run.named(run.target.container)
    if namesake is not None and namesake["Id"] != run.entry.new_id:
        raise EngineError(f"cannot make {run.target.container} again: another container has its name")
    unusable = run.named(run.entry.old_name)
    if unusable is not None:
        run.engine.remove(unusable["Id"], force=True)
    facts = run.engine.facts()
    image = run.engine.image(old["Image"]) or run.journal.images.get(old["Image"])
    spec = new_spec(
        old,
        image,
        name=run.entry.old_name,
        image=old["Config"]["Image"],
        image_id=(old["Config"].get("Labels") or {}).get(COMPOSE_IMAGE_LABEL, ""),
        api_version=facts.api_version,
        peers=peers_of(run.engine, old),
        engine_name=facts.name,
        platform=foreign_platform(image, facts.architecture),
    )
    with named_as_written(run.engine, str(old["Config"]["Image"]), str(old["Image"])):
        made = run.engine.create(spec)
    run.note(again_id=made)
    with contextlib.suppress(OSError):
        run.save(run.entry.stage)
    found = run.engine.inspect(made)
    if found is None:
        raise EngineError(f"cannot find {run.entry.old_name}, which was just created")
    return found


def swap_names(run: Run) -> None:
    """Give the new container the old one's name."""
    run.save(Stage.SWAP)
    if run.start_first or not run.entry.old["HostConfig"].get("AutoRemove"):
        run.engine.rename(run.target.container_id, run.entry.old_name)
    run.engine.rename(run.entry.new_id, run.target.container)
    swap_followers(run)


def name_old(run: Run, old: Inspect) -> str:
    """Give the old container its name back, and leave no second one under its other name; return why it has it not."""
    nameless = give_name(run, old, run.target.container)
    twin = run.named(run.entry.old_name)
    if twin is not None and twin["Id"] != old["Id"]:
        run.engine.remove(twin["Id"], force=True)
    return nameless


def start_new(run: Run) -> None:
    """Start the new container. The downtime, if there is one, ends."""
    run.save(Stage.START)
    run.progress("start")
    began = run.clock.monotonic()
    run.engine.start(run.entry.new_id)
    run.note(phases=run.took(began, "start_ms"), downtime_ms=run.downtime_ms())


def verify_new(run: Run) -> None:
    """Wait until the new container has proved itself."""
    run.save(Stage.VERIFY)
    run.progress("verify")
    began = run.clock.monotonic()
    reason = verify(run.engine, run.entry.new_id, run.entry.policy.verify, clock=run.clock)
    run.note(phases=run.took(began, "verify_ms"))
    if reason:
        raise EngineError(reason)
    new = run.engine.inspect(run.entry.new_id)
    if new is not None:
        tell_difference(run, new)


def await_removal(run: Run, container: str) -> None:
    """Wait until the engine, which removes a ``--rm`` container that ended, has done so."""
    began = run.clock.monotonic()
    while run.engine.inspect(container) is not None:
        if since_ms(run.clock, began) > REMOVED_WITHIN_S * 1000:
            raise EngineError(f"cannot go on with {run.target.container}: the engine does not finish removing it")
        run.clock.sleep(0.05)
