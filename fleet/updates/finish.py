"""The end of an update that went well: the old container goes, never its volumes, and old images where the policy says so."""

from fleet.errors import EngineError
from fleet.updates.kept import Generations, keep_and_remove
from fleet.updates.run import Run
from fleet.updates.together import remove_old_followers

REMOVAL_WAITS_S = (1.0, 2.0)
"""The pauses between the tries to remove the old container at the end."""


def finish(run: Run) -> str:
    """Remove the old container, never its volumes, and its image where the policy says so; return what is left over.

    Raises EngineError where the old one runs on beside the new one, as it may with ``start-first`` alone.
    """
    for wait_s in (*REMOVAL_WAITS_S, None):
        try:
            _remove_old(run)
            return _tidy_images(run) if run.entry.policy.remove_old_image else ""
        except EngineError as error:
            if wait_s is None and run.start_first and _old_runs(run):
                raise
            if wait_s is None:
                for left in (*(follower.id for follower in run.entry.followers), run.target.container_id):
                    run.leave_over(left)
                return str(error)
            run.clock.sleep(wait_s)
    raise AssertionError("the last try returns")


def _remove_old(run: Run) -> None:
    remove_old_followers(run)
    old = run.engine.inspect(run.target.container_id)
    if old is not None and old["State"].get("Running"):
        began = run.clock.monotonic()
        run.stop(old)
        run.note(phases=run.took(began, "stop_ms"))
    if old is not None:
        run.engine.remove(old["Id"])


def _old_runs(run: Run) -> bool:
    old = run.engine.inspect(run.target.container_id)
    return old is not None and bool(old["State"].get("Running"))


def _tidy_images(run: Run) -> str:
    """Keep the old image, and remove those that are older than the policy keeps; return why one is left over, or empty."""
    kept = Generations(run.journal.path / "generations.json")
    gone = [(run.target, run.entry.pull.image_id)]
    gone += [(each.target, each.image_id) for each in run.entry.followers if each.target is not None]
    left = [
        keep_and_remove(
            run.engine,
            kept,
            target.container,
            target.reference,
            old=target.image_id,
            now=image_id,
            policy=run.entry.policy,
        )
        for target, image_id in gone
    ]
    return next(filter(None, left), "")
