"""What people did to the old containers since the update was written down, before anything of them is touched."""

from fleet.engine.difference import config_diff
from fleet.updates.run import NotNow, Run

MOST_TOLD = 3
"""How many differences the outcome names."""


def check_unchanged(run: Run) -> None:
    """Return where the old containers are configured as they were written down; else raise NotNow.

    The new ones are made from what was written down, and limits or networks that somebody changed since would be lost.
    """
    for old in (run.entry.old, *(follower.old for follower in run.entry.followers)):
        now = run.engine.inspect(old["Id"])
        changed = config_diff(old, now) if now is not None else ()
        if changed:
            name = str(old["Name"]).lstrip("/")
            told = "; ".join(changed[:MOST_TOLD]) + ("; and more" if len(changed) > MOST_TOLD else "")
            raise NotNow(f"cannot update {name}: somebody changed it meanwhile ({told}); plan again")
