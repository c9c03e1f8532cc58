"""The steps of those who go with the container that is updated, each with what takes it back.

A namespace ends with the container that lends it, so they are recreated with it, as one: stopped before it, started
after it, and brought back with it.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from fleet.clock import since_ms
from fleet.engine.difference import config_diff
from fleet.engine.protocol import CreateSpec, Inspect
from fleet.engine.spec import COMPOSE_IMAGE_LABEL, led_to, new_spec, shares_with
from fleet.errors import EngineError
from fleet.updates.emulated import foreign_platform
from fleet.updates.follower import Follower
from fleet.updates.followers import peers_of
from fleet.updates.loose import copy_files
from fleet.updates.namesakes import give_name
from fleet.updates.naming import named_as_written
from fleet.updates.run import NO_RESTART, Run, restart_policy
from fleet.updates.verify import verify


def create_followers(run: Run) -> None:
    """Create the new container of each, in the namespaces of the new containers, while all old ones run."""
    for follower in run.entry.followers:
        spec = CreateSpec(
            name=follower.new_name,
            body=led_to(follower.body, _new_ids(run)),
            connect=follower.connect,
            platform=follower.platform,
        )
        with named_as_written(run.engine, str(follower.body["Image"]), follower.image_id):
            made = run.engine.create(spec)
        _note(run, follower, new_id=made)
        created = run.engine.inspect(made) or {}
        if created.get("Image") != follower.image_id:
            raise EngineError(f"cannot recreate {follower.name}: {follower.body['Image']} names another image now")
        copy_files(run.engine, follower.copies, follower.id, made)


def remove_new_followers(run: Run) -> None:
    """Stop and remove the new containers, those that are needed by others last."""
    for follower in reversed(run.entry.followers):
        new = find_new(run, follower)
        if new is not None:
            with contextlib.suppress(EngineError):
                run.engine.stop(new["Id"])
            run.engine.remove(new["Id"], force=True)


def release_followers(run: Run) -> None:
    """Take the old containers' restart policies off."""
    for follower in run.entry.followers:
        if restart_policy(follower.old) != NO_RESTART:
            run.engine.set_restart_policy(follower.id, NO_RESTART)


def stop_followers(run: Run) -> None:
    """Stop the old containers, those that are needed by others last."""
    for follower in reversed(run.entry.followers):
        run.stop(follower.old)


def end_stops(run: Run) -> None:
    """Have ended what may be being stopped: it is started again with what it goes with."""
    for follower in reversed(run.entry.followers if run.entry.stopped_at else ()):
        old = run.engine.inspect(follower.id)
        if old is not None and old["State"].get("Running") and _same_run(old, follower.old):
            run.engine.stop(old["Id"])


def swap_followers(run: Run) -> None:
    """Give the new containers the names of the old ones."""
    for follower in run.entry.followers:
        run.engine.rename(follower.id, follower.old_name)
        run.engine.rename(follower.new_id, follower.name)


def start_followers(run: Run) -> None:
    """Start the new containers of those that ran."""
    for follower in run.entry.followers:
        if follower.runs:
            run.engine.start(follower.new_id)


def verify_followers(run: Run) -> None:
    """Wait until each has proved itself; the time of those before counts for it, and what they go with must be good still."""
    began, policy = run.clock.monotonic(), run.entry.policy.verify
    for follower in run.entry.followers:
        left = replace(policy, settle_ms=max(0, policy.settle_ms - since_ms(run.clock, began)))
        reason = verify(run.engine, follower.new_id, left, clock=run.clock) if follower.runs else ""
        if reason:
            raise EngineError(f"cannot update {run.target.container}: {follower.name}, which goes with it: {reason}")
        new = run.engine.inspect(follower.new_id)
        _note(run, follower, config_diff=(*follower.config_diff, *(config_diff(follower.old, new) if new else ())))
    if run.entry.followers:
        lead = verify(run.engine, run.entry.new_id, replace(policy, settle_ms=0), clock=run.clock)
        if lead:
            raise EngineError(lead)


def start_verified_followers(run: Run, *, anew: bool) -> None:
    """See that the new containers run, which were verified; *anew*: what they live in was just started again."""
    for follower in run.entry.followers:
        new = run.engine.inspect(follower.new_id) if follower.runs else None
        if new is not None and anew:
            run.engine.stop(new["Id"])
        if new is not None and (anew or not new["State"].get("Running")):
            run.engine.start(new["Id"])


def remove_old_followers(run: Run) -> None:
    """Remove the old containers, never their volumes."""
    for follower in reversed(run.entry.followers):
        run.engine.remove(follower.id, force=True)


def bring_followers_back(run: Run, lender: Inspect) -> str:
    """Have each old container run as it did, in the namespaces of *lender*, which is back already.

    Return why one of them has not its name, or empty.
    """
    now, nameless = {run.target.container_id: str(lender["Id"])}, ""
    for follower in run.entry.followers:
        old = _old_or_made_again(run, follower, now)
        now[follower.id] = str(old["Id"])
        nameless = give_name(run, old, follower.name) or nameless
        if old["HostConfig"].get("RestartPolicy") != restart_policy(follower.old):
            run.engine.set_restart_policy(old["Id"], restart_policy(follower.old))
        if follower.runs and old["State"].get("Running") and _outlived_any(run, old, now.values()):
            run.engine.stop(old["Id"])
            run.engine.start(old["Id"])
        elif follower.runs and not old["State"].get("Running"):
            run.engine.start(old["Id"])
        if not follower.new_id:
            run.leave_over(follower.new_name)
    return nameless


def find_new(run: Run, follower: Follower) -> Inspect | None:
    """Return the follower's new container, by its id or its temporary name."""
    found = run.engine.inspect(follower.new_id) if follower.new_id else None
    return found or run.named(follower.new_name)


def _old_or_made_again(run: Run, follower: Follower, now: Mapping[str, str]) -> Inspect:
    """Return the old container, or one made again where it is gone, or what it lives in has another id *now*."""
    known = (run.engine.inspect(one) for one in (follower.again_id, follower.id) if one)
    old = next((one for one in known if one is not None), None) or run.named(follower.old_name)
    members = [run.entry.old, *(one.old for one in run.entry.followers)]
    needed = [now[one["Id"]] for one in members if one["Id"] in now and shares_with(follower.old, one)]
    if old is not None and all(_goes_with(old, run.engine.inspect(other)) for other in needed):
        return old
    if old is not None:
        run.engine.remove(old["Id"], force=True)
    return _make_again(run, follower, {one["Name"].lstrip("/"): now[one["Id"]] for one in members if one["Id"] in now})


def _outlived_any(run: Run, old: Inspect, lenders: Iterable[str]) -> bool:
    """Tell whether *old* was started before something that it lives in, so that it lives in what is gone."""
    found = (run.engine.inspect(one) for one in lenders if one != old["Id"])
    return any(one is not None and shares_with(old, one) and _started(one) > _started(old) for one in found)


def _started(inspect: Inspect) -> tuple[str, str]:
    """Return when a container was started, so that it compares: engines leave out the last zeros of a second's parts."""
    whole, _, parts = str(inspect["State"]["StartedAt"]).rstrip("Z").partition(".")
    return whole, parts.ljust(9, "0")


def _goes_with(old: Inspect, lender: Inspect | None) -> bool:
    return lender is not None and bool(shares_with(old, lender))


def _make_again(run: Run, follower: Follower, ids: Mapping[str, str]) -> Inspect:
    old, facts = follower.old, run.engine.facts()
    image = run.engine.image(old["Image"]) or run.journal.images.get(old["Image"])
    spec = new_spec(
        old,
        image,
        name=follower.old_name,
        image=str(old["Config"]["Image"]),
        image_id=(old["Config"].get("Labels") or {}).get(COMPOSE_IMAGE_LABEL, ""),
        api_version=facts.api_version,
        peers={run.target.container_id: run.entry.old, **{one.id: one.old for one in run.entry.followers}}
        | peers_of(run.engine, old),
        engine_name=facts.name,
        platform=foreign_platform(image, facts.architecture),
    )
    with named_as_written(run.engine, str(old["Config"]["Image"]), str(old["Image"])):
        made = run.engine.create(replace(spec, body=led_to(spec.body, ids)))
    _note(run, follower, again_id=made)
    found = run.engine.inspect(made)
    if found is None:
        raise EngineError(f"cannot find {follower.old_name}, which was just created")
    return found


def _new_ids(run: Run) -> dict[str, str]:
    """Return the ids of the new containers that there are, by the names of the old ones."""
    known = {follower.name: follower.new_id for follower in run.entry.followers if follower.new_id}
    return {run.target.container: run.entry.new_id} | known


def _same_run(now: Inspect, before: Inspect) -> bool:
    return bool(now["State"]["StartedAt"] == before["State"]["StartedAt"])


def _note(run: Run, follower: Follower, **changes: object) -> None:
    def changed(one: Follower) -> Follower:
        return replace(one, **changes) if one.id == follower.id else one  # type: ignore[arg-type]

    run.note(followers=tuple(map(changed, run.entry.followers)))
