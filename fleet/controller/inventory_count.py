"""How many containers there are, and how they stand: counted as rarely as it takes long, once for all who show it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet.history.database import Database
from fleet.history.measured_inventory import Inventory, measure_inventory

SHARE = 50
"""What grows with the fleet is found again after so many times as long as it took: a fiftieth of the time at most."""
LONGEST_S = 600.0
"""But not later than this."""


@dataclass(slots=True)
class InventoryCount:
    """What was counted last, kept by one process. Threads may ask at once; one of them counts."""

    monotonic: Callable[[], float] = time.monotonic
    took_s: float = 0.0
    """How long that took."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: Inventory | None = None
    _until: float = 0.0

    def of(self, db: Database) -> Inventory:
        """Return the containers of the fleet; raises DatabaseUnreachable."""
        with self._lock:
            began = self.monotonic()
            if self._kept is None or began >= self._until:
                self._kept = measure_inventory(db)
                ended = self.monotonic()
                self.took_s = ended - began
                self._until = ended + min(SHARE * self.took_s, LONGEST_S)
            return self._kept
