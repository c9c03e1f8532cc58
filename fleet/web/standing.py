"""How many containers are outdated, counted as rarely as it takes long, so that a page which shows it costs no more in a large fleet."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fleet.controller.metrics import SHARE
from fleet.history.database import Database
from fleet.history.measured_inventory import measure_inventory


@dataclass(slots=True)
class StandingCount:
    """What was counted last, kept by one process; counted anew by the rule of metrics that grow with the fleet."""

    monotonic: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: Mapping[str, int] = field(default_factory=dict)
    _until: float = 0.0

    def of(self, db: Database) -> Mapping[str, int]:
        """Return how many containers stand how to their tags: ``current``, ``outdated``, ``unknown``."""
        with self._lock:
            began = self.monotonic()
            if began >= self._until:
                self._kept = measure_inventory(db).followed
                ended = self.monotonic()
                self._until = ended + SHARE * (ended - began)
            return self._kept
