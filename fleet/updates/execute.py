"""Carry one target to its end, and after a crash every update that was in flight."""

import contextlib
from uuid import UUID

from fleet.clock import Clock
from fleet.engine.protocol import Engine
from fleet.errors import EngineError
from fleet.updates.command import Policy, Target
from fleet.updates.finish import REMOVAL_WAITS_S, finish
from fleet.updates.hooks import left_undone, run_after
from fleet.updates.journal import Journal, Stage, UpdateEntry
from fleet.updates.outcome import Phases, PullOutcome, Result, UpdateOutcome
from fleet.updates.owed import pay
from fleet.updates.prepare import Siblings, prepare, reason_of
from fleet.updates.recreate import recreate
from fleet.updates.rollback import roll_back
from fleet.updates.run import NotNow, Progress, Run
from fleet.updates.together import start_verified_followers

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
    refusal = prepare(run, siblings)
    return refusal or _carry_out(run)


def recover(
    engine: Engine, journal: Journal, clock: Clock, *, progress: Progress = _silent
) -> list[tuple[UUID, UpdateOutcome]]:
    """Take every update in flight to its end, and return (command, outcome) of each that was not yet forgotten.

    Finished where the new container was verified already, rolled back otherwise. Raises EngineUnreachable where the
    engine stays away; the rest stays open. A record that nobody can read keeps no other one: see ``damaged_updates``.
    """
    _sweep(engine, journal)
    pay(engine, journal, clock)
    runs = [Run(engine=engine, journal=journal, entry=e, clock=clock, progress=progress) for e in journal.updates()]
    ended = [(run.entry.command, _resume(run)) for run in runs]
    known = {run.entry.update_id for run in runs}
    return ended + [(e.command, e.outcome) for e in journal.updates() if e.outcome and e.update_id not in known]


def _carry_out(run: Run) -> UpdateOutcome:
    """Recreate, and finish or roll back; whatever goes wrong on the way, the old container comes back."""
    try:
        recreate(run)
    except Exception as error:
        return roll_back(run, reason_of(run, error), not_now=isinstance(error, NotNow))
    run.remark(run_after(run))
    if _was_taken_away(run):
        return roll_back(
            run, f"cannot find the new {run.target.container} any more: somebody removed it once it was verified"
        )
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


def _was_taken_away(run: Run, *, wholly: bool = False) -> bool:
    """Tell whether somebody removed the new container, *wholly*: and put none in its place; not where the engine says no."""
    with contextlib.suppress(EngineError):
        return run.find_new() is None and not (wholly and run.named(run.target.container))
    return False


def _finish(run: Run) -> UpdateOutcome:
    """Remove the old container; what fails here leaves something over and changes nothing about the success.

    Unless the old one cannot be stopped: then it is the new one that goes, since two must not run.
    """
    try:
        left = finish(run)
    except EngineError as error:
        return roll_back(run, str(error))
    if _was_taken_away(run, wholly=True):
        return roll_back(
            run, f"cannot find any {run.target.container} any more: somebody removed the new one meanwhile"
        )
    run.remark(f"left over: {left}" if left else "")
    return run.close(Result.UPDATED, run.entry.remark)


def _sweep(engine: Engine, journal: Journal) -> None:
    """Remove what earlier updates left over; what does not go, or cannot be crossed off, waits for the next time."""
    for container in journal.leftovers():
        with contextlib.suppress(EngineError, OSError):
            engine.remove(container)
            journal.drop_leftover(container)


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
