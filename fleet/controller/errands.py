"""Errands: what takes longer than a tick may, such as asking registries. Each runs in a thread of its own, once."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from fleet.errors import FleetError

log = logging.getLogger(__name__)


class Errands(Protocol):
    """Takes work that would keep its caller from the next tick, and does it beside that."""

    def busy(self, name: str) -> bool:
        """Tell whether an errand of this name runs."""
        ...

    def begin(self, name: str, work: Callable[[], object]) -> bool:
        """Begin *work*, unless an errand of this name runs; return whether it began."""
        ...


class Threads:
    """Errands in threads that end with the process: whatever they did not finish is due again."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Thread] = {}

    def busy(self, name: str) -> bool:
        """Tell whether an errand of this name runs."""
        return name in self._running and self._running[name].is_alive()

    def begin(self, name: str, work: Callable[[], object]) -> bool:
        """Begin *work*, unless an errand of this name runs; return whether it began."""
        if self.busy(name):
            return False
        thread = threading.Thread(target=_calmly, args=(name, work), name=f"errand-{name}", daemon=True)
        self._running[name] = thread
        thread.start()
        return True


def _calmly(name: str, work: Callable[[], object]) -> None:
    """Do *work*; what goes wrong is told and does no harm, since it is due again."""
    try:
        done = work()
        if done:
            log.info("errand done", extra={"errand": name, "result": str(done)})
    except FleetError as error:
        log.warning("errand failed", extra={"errand": name, "reason": str(error)})
    except Exception:
        log.exception("errand failed", extra={"errand": name})
