"""The conditions in the log: each is said when it begins to hold, and when it holds no more."""

import logging
from collections.abc import Iterable

from fleet.controller.condition import Condition, Severity

log = logging.getLogger(__name__)

BEGAN, ENDED = "condition began", "condition ended"
_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


class ConditionLog:
    """Remembers what it said; a process that starts anew says all that holds."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Condition] = {}

    def tell(self, holding: Iterable[Condition]) -> None:
        """Say what of *holding* is new, and what is not among it any more."""
        now = {(condition.code, condition.subject): condition for condition in holding}
        before, self._held = self._held, now
        for key in now.keys() - before.keys():
            condition = now[key]
            fields = {"text": condition.text, "remedy": condition.remedy}
            log.log(_LEVELS[condition.severity], BEGAN, extra=_named(condition) | fields)
        for key in before.keys() - now.keys():
            log.info(ENDED, extra=_named(before[key]))


def _named(condition: Condition) -> dict[str, str]:
    return {"code": condition.code, "subject": condition.subject}
