"""Giving way to a person: where somebody put another container in the old one's place meanwhile, that one stays, alone.

``docker compose up``, or whoever found the name free, may do so at any moment of an update. To bring the old container back
then would be to fight them, and to leave the new one beside theirs would be two that write to the same data.
"""

from fleet.engine.protocol import Inspect
from fleet.errors import EngineError
from fleet.updates.recreate import remove_new
from fleet.updates.run import Run
from fleet.updates.together import bring_followers_back, remove_new_followers


class Replaced(EngineError):
    """cannot update: another container was put in its place meanwhile"""


def give_way(run: Run) -> None:
    """Return where the old container's place is its own; else take away what is ours and raise Replaced.

    May be taken any number of times. Volumes stay, as ever.
    """
    successor = _successor(run)
    if successor is None:
        return
    remove_new_followers(run)
    remove_new(run)
    made_again = run.engine.inspect(run.entry.again_id) if run.entry.again_id else None
    for ours in (made_again, run.named(run.entry.old_name)):
        if ours is not None:
            run.engine.remove(ours["Id"], force=True)
    if run.entry.stopped_at is not None:
        bring_followers_back(run, successor)
    raise Replaced(
        f"cannot update {run.target.container}: somebody put another container in its place meanwhile, which was left"
        " alone; plan again"
    )


def _successor(run: Run) -> Inspect | None:
    """Return the container that has the old one's name since the old one is gone, and is none of this update."""
    namesake = run.named(run.target.container)
    if namesake is None or run.engine.inspect(run.target.container_id) is not None:
        return None
    ours = (run.entry.new_id, run.entry.again_id)
    # One of the old image may be the old container, made again by an agent that could not write its id down.
    return None if namesake["Id"] in ours or namesake["Image"] == run.entry.old.get("Image") else namesake
