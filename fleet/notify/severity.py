"""How soon a person should look (pure)."""

from enum import StrEnum


class Severity(StrEnum):
    """How soon a person should look."""

    ERROR = "error"
    """Now: something is broken and stays so."""
    WARNING = "warning"
    """Today: something is not as it should be."""
    INFO = "info"
    """Some time: good to know."""

    def at_least(self, other: "Severity") -> bool:
        """Tell whether it is as urgent as *other*, or more."""
        return _URGENCY.index(self) >= _URGENCY.index(other)


_URGENCY = (Severity.INFO, Severity.WARNING, Severity.ERROR)
