"""What a failed way back still owes: its record is kept beside the outcome, and gone on with once the engine can.

A disk that was full has room again, a name is free again: then the old container runs as it did, without anybody's doing.
What a person settled otherwise meanwhile stays as they did it.
"""

import contextlib
import logging
from dataclasses import replace

from fleet.clock import Clock
from fleet.engine.protocol import Engine, Inspect
from fleet.errors import EngineError
from fleet.updates.giving_way import Replaced, give_way
from fleet.updates.journal import Journal, Stage
from fleet.updates.rollback import bring_back
from fleet.updates.run import Run, restart_policy

OWED_FOR_S = 86_400.0
"""How long a way back is gone on with."""

log = logging.getLogger(__name__)


def pay(engine: Engine, journal: Journal, clock: Clock) -> bool:
    """Go on with each way back that failed; return whether one is still owed. Raise EngineUnreachable."""
    for entry in journal.owed():
        run = Run(engine=engine, journal=journal, entry=replace(entry, stage=Stage.UNDO), clock=clock, progress=_silent)
        with contextlib.suppress(EngineError, OSError):
            if not _is_past(run) and _is_ours_to_settle(run):
                _bring_back(run)
            journal.settle(entry.update_id)
    return bool(journal.owed())


def _bring_back(run: Run) -> None:
    try:
        give_way(run)
        bring_back(run)
        log.info("container is back", extra={"container": run.target.container})
    except Replaced as replaced:
        log.info("container was replaced", extra={"container": run.target.container, "reason": str(replaced)})


def _is_past(run: Run) -> bool:
    """Tell whether a person has had the time to settle it: a name that is free months later is no sign for an old container."""
    since = run.entry.owed_since
    return since is not None and abs((run.clock.now() - since).total_seconds()) > OWED_FOR_S


def _is_ours_to_settle(run: Run) -> bool:
    """Tell whether the old container is there as the way back left it; one that somebody removed or renamed is theirs."""
    found = (run.engine.inspect(known) for known in (run.target.container_id, run.entry.again_id) if known)
    old = next((one for one in found if one is not None), None)
    if old is None:
        return False
    name, policy = str(old["Name"]).lstrip("/"), restart_policy(run.entry.old)
    return name == run.entry.old_name or (name == run.target.container and not _is_back(old, policy))


def _is_back(old: Inspect, policy: dict[str, object]) -> bool:
    return bool(old["State"].get("Running")) and restart_policy(old) == policy


def _silent(phase: str) -> None:
    """Tell nobody."""
