"""The way back: the old container runs again under its name, with its restart policy, and the new one is gone."""

import contextlib

from fleet.engine.protocol import Inspect
from fleet.errors import EngineError, EngineUnreachable
from fleet.updates.journal import Stage
from fleet.updates.outcome import Result, UpdateOutcome
from fleet.updates.recreate import hold_old, make_old_again, name_old, remove_new, start_old
from fleet.updates.run import Run

ENGINE_PATIENCE_S = 120.0
"""How long an engine that does not answer is waited for; afterwards the record stays open for the next start."""
TRIES = 3
"""How often the way back is tried while the engine answers and says no."""
WAIT_S = 2.0
STEADY_S = 1.0
"""How long the old container, which ran before, must run again to count as back."""


def roll_back(run: Run, reason: str) -> UpdateOutcome:
    """Bring the old container back and return the outcome; raise EngineUnreachable where the engine stays away.

    What was raised leaves the record open: the same call later goes on from there.
    """
    run.progress("rollback")
    began = run.clock.monotonic()
    with contextlib.suppress(OSError):
        run.save(Stage.UNDO, reason=run.entry.reason or reason)
    was_stopped, failure = False, ""
    for _ in range(TRIES):
        _await_engine(run)
        was_stopped = was_stopped or _was_stopped(run)
        failure = _tried(run)
        if not failure:
            break
        run.clock.sleep(WAIT_S)
    told = run.entry.reason or reason
    run.note(phases=run.took(began, "rollback_ms"), downtime_ms=run.entry.downtime_ms if was_stopped else None)
    if failure:
        return run.close(Result.ROLLBACK_FAILED, f"{told}; and the way back failed: {failure}{_keep_new(run)}")
    return run.close(Result.ROLLED_BACK if was_stopped else Result.FAILED, told)


def bring_back(run: Run) -> None:
    """Do what is still to be done until the old container runs as it did; may be taken any number of times."""
    old = run.find_old() or make_old_again(run)
    remove_new(run)
    name_old(run, old)
    hold_old(run, old)
    if not old["State"].get("Running"):
        start_old(run, old)
        run.note(downtime_ms=run.downtime_ms())
        _prove_steady(run, old["Id"])


def _tried(run: Run) -> str:
    """Return empty where the old container is back, or why it is not."""
    try:
        bring_back(run)
    except EngineUnreachable as error:
        _await_engine(run)
        return str(error)
    except EngineError as error:
        return str(error)
    return ""


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


def _was_stopped(run: Run) -> bool:
    """Tell whether the old container stopped since the update began, by the engine's own word."""
    old = run.find_old()
    if old is None or old["Id"] != run.target.container_id or not old["State"].get("Running"):
        return True
    return bool(old["State"]["StartedAt"] != run.entry.old["State"]["StartedAt"])


def _prove_steady(run: Run, container: str) -> None:
    """Raise EngineError unless the container runs, now and a moment later, or restarts as it did before."""
    first = _running(run, container)
    run.clock.sleep(min(STEADY_S, run.entry.policy.verify.settle_ms / 1000))
    later = _running(run, container)
    if first["State"]["StartedAt"] != later["State"]["StartedAt"] and not run.entry.old["State"].get("Restarting"):
        raise EngineError(f"cannot keep {run.target.container} running: it restarts")


def _running(run: Run, container: str) -> Inspect:
    seen = run.engine.inspect(container)
    if seen is None or not seen["State"].get("Running"):
        code = "" if seen is None else f": it exited with code {seen['State'].get('ExitCode')}"
        raise EngineError(f"cannot keep {run.target.container} running{code}")
    return seen


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
