"""The way back: the old container runs again under its name, with its restart policy, and the new one is gone."""

import contextlib
from dataclasses import replace

from fleet.engine.protocol import Inspect
from fleet.errors import EngineError, EngineUnreachable
from fleet.updates import by_hand
from fleet.updates.giving_way import Replaced, give_way
from fleet.updates.journal import Stage
from fleet.updates.outcome import Result, UpdateOutcome
from fleet.updates.recreate import find_or_make_old, hold_old, name_old, remove_new, start_old
from fleet.updates.run import Run
from fleet.updates.together import bring_followers_back, end_stops, remove_new_followers
from fleet.updates.verify import POLL_S, RESTART_S

ENGINE_PATIENCE_S = 120.0
"""How long an engine that does not answer is waited for; afterwards the record stays open for the next start."""
WAITS_S = (1.0, 2.0, 5.0, 10.0)
"""The pauses between the tries of the way back, while the engine answers and says no: the container is down anyway."""
STEADY_S = 1.0
"""How long the old container, which ran before, must run again to count as back. By then a request that was under way
when its caller went has been carried out too, so that a second look finds what it did."""


def roll_back(run: Run, reason: str, *, not_now: bool = False, interrupted: bool = False) -> UpdateOutcome:
    """Bring the old container back and return the outcome; raise EngineUnreachable where the engine stays away.

    *not_now* says that nothing went wrong: it is not the moment, and the update is a skip. *interrupted* says
    that an agent ended in the middle: where one ended on the way back, what that began for is still the reason.
    What was raised leaves the record open: the same call later goes on from there.
    """
    run.progress("rollback")
    began = run.clock.monotonic()
    told = run.entry.reason or reason
    run.note(interrupted=run.entry.interrupted or (interrupted and not run.entry.reason))
    with contextlib.suppress(OSError):
        run.save(Stage.UNDO, reason=told, not_now=not_now or run.entry.not_now)
    try:
        failure, was_stopped = _tried_often(run)
    except Replaced as replaced:
        return run.close(Result.SKIPPED, str(replaced))
    run.note(phases=run.took(began, "rollback_ms"), downtime_ms=run.entry.downtime_ms if was_stopped else None)
    if failure:
        kept = _keep_new(run)
        if not kept:
            with contextlib.suppress(OSError):
                run.journal.owe(replace(run.entry, owed_since=run.clock.now()))
        return run.close(Result.ROLLBACK_FAILED, f"{told}; and the way back failed: {failure}{kept}")
    untouched = Result.SKIPPED if run.entry.not_now else Result.FAILED
    return run.close(Result.ROLLED_BACK if was_stopped else untouched, told)


def bring_back(run: Run) -> Inspect:
    """Do what is still to be done until the old container runs as it did; may be taken any number of times.

    Where another container has its name, it runs without it before that is raised.
    """
    end_stops(run)
    old = find_or_make_old(run)
    remove_new_followers(run)
    remove_new(run)
    nameless = name_old(run, old)
    try:
        hold_old(run, old)
    except EngineError:
        start_old(run, old)  # a disk that has no room for what the policy is may have room for a start
        raise
    start_old(run, old)
    nameless = bring_followers_back(run, old) or nameless
    if nameless:
        raise EngineError(nameless)
    return old


def _tried_often(run: Run) -> tuple[str, bool]:
    """Return why the old container is not back, empty where it is, and whether it had been stopped."""
    for wait_s in (*WAITS_S, None):
        _await_engine(run)
        try:
            give_way(run)
            return "", _tried(run)
        except Replaced:
            raise
        except EngineUnreachable:
            if wait_s is None:
                raise
        except Exception as error:
            if wait_s is None:
                return str(error), True
        run.clock.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


def _tried(run: Run) -> bool:
    """Bring the old container back, see it run for a moment, and tell whether it had been stopped."""
    first = _running(run, bring_back(run)["Id"])
    run.clock.sleep(STEADY_S)
    later = _running(run, bring_back(run)["Id"])
    # Who restarts it by hand has it running: that is their doing, and none of the container's.
    anew = first["State"]["StartedAt"] != later["State"]["StartedAt"] and not by_hand.restarted(first, later)
    if anew and not run.entry.old["State"].get("Restarting"):
        raise EngineError(f"cannot keep {run.target.container} running: it restarts")
    if not run.entry.new_id:
        run.leave_over(run.entry.new_name)
    return bool(later["State"]["StartedAt"] != run.entry.old["State"]["StartedAt"])


def _await_engine(run: Run) -> None:
    """Return when the engine answers; raise EngineUnreachable after ENGINE_PATIENCE_S."""
    began = run.clock.monotonic()
    while True:
        try:
            run.engine.ping()
            return
        except EngineUnreachable:
            if run.clock.monotonic() - began > ENGINE_PATIENCE_S:
                raise
            run.clock.sleep(1)
        except EngineError:
            return


def _running(run: Run, container: str) -> Inspect:
    """Return the inspect of a container that runs, within the moment that a restart by hand takes."""
    began = run.clock.monotonic()
    while True:
        seen = run.engine.inspect(container)
        if seen is not None and seen["State"].get("Running"):
            return seen
        if seen is None or run.clock.monotonic() - began >= RESTART_S:
            code = "" if seen is None else f": it exited with code {seen['State'].get('ExitCode')}"
            raise EngineError(f"cannot keep {run.target.container} running{code}")
        run.clock.sleep(POLL_S)


def _keep_new(run: Run) -> str:
    """Where the old container is lost, let the new one run in its place; return what is to be told of it."""
    try:
        new = run.find_new()
        if new is None or run.find_old() is not None:
            return ""
        if new["Name"].lstrip("/") != run.target.container:
            run.engine.rename(new["Id"], run.target.container)
        run.engine.start(new["Id"])
    except (EngineError, EngineUnreachable) as error:
        return f"; the new container cannot take its place either: {error}"
    return "; the old container is lost, and the new one was left to run in its place"
