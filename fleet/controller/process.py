"""``python -m fleet.controller.process NAME``: one process of the centre, as the supervisor starts it."""

import gc
import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence

from fleet.errors import BadInput, FleetError
from fleet.settings import logs
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

HOMES: Mapping[str, str] = {
    "web": "fleet.web.process",
    "planner": "fleet.controller.planner",
    "inbox": "fleet.controller.inbox",
    "notifier": "fleet.controller.notifier",
    "beat": "fleet.controller.beat",
    "mqtt": "fleet.controller.mqtt",
    "migrate": "fleet.controller.migrate",
}
"""The module of each process; its ``run(settings)`` runs until SIGTERM, or until it is done. By name, so that none loads what it does not
need, and because the web stands on a floor above this one.
"""


def run(name: str, settings: CentreSettings) -> None:
    """Run one process of the centre in this one until SIGTERM; raise BadInput for an unknown name."""
    if name not in HOMES:
        raise BadInput(f"cannot start {name!r}: the centre's processes are {', '.join(HOMES)}")
    logs.set_up(name, level=settings.log.level, format=settings.log.format)
    settings.prepare_state()
    gc.disable()  # what is imported stays: to look through it while it grows took a sixth of the start
    start: Callable[[CentreSettings], None] = importlib.import_module(HOMES[name]).run
    gc.enable()
    keep_what_is_there()
    start(settings)


_MADE_BEFORE_A_LOOK = 100_000
"""So many more objects than were let go before the collector looks for rings of them: what some batches make, a few MB."""


def keep_what_is_there() -> None:
    """Let the collector of garbage leave alone what was imported: all of it stays to the end of the process.

    To look through it again and again took an eighth of the processor time of ticks and batches; to look through what a
    batch has just made, all of which it still needs, another sixth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MADE_BEFORE_A_LOOK, 10, 10)


def main(arguments: Sequence[str]) -> int:
    """Run the process that is named, and return its exit code."""
    name = arguments[0] if len(arguments) == 1 else ""
    logs.set_up(name or "process")
    try:
        run(name, CentreSettings.read())
    except FleetError as error:
        log.error("process ended", extra={"reason": str(error)})
        return error.exit_code
    except OSError as error:
        # A full disk, a folder that may not be written: the supervisor tries again, and a trace would say no more.
        where = f" with {error.filename}" if error.filename else ""
        log.error("process ended", extra={"reason": f"cannot go on{where}: {error.strerror or error}"})
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
