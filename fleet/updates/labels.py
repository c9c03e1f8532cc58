"""The labels by which people steer an update, read from a container's labels: ``fleet.NAME``, or Watchtower's own. Pure."""

import re
from collections.abc import Mapping

WATCHTOWER = "com.centurylinklabs.watchtower."
PREFIXES = ("fleet.", WATCHTOWER)
"""Whose labels steer an update; the first that says anything wins."""

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_DURATION = re.compile(r"(?:\d{1,6}(?:\.\d{1,3})?[wdhms])+", re.ASCII)

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})

NO_SCOPE = "none"
"""The scope of a container that has no label of that name, as in Watchtower."""


def label(labels: Mapping[str, str], name: str) -> str:
    """Return what *labels* say under *name* (``enable``), without space around it; empty where they say nothing."""
    for prefix in PREFIXES:
        if prefix + name in labels:
            return labels[prefix + name].strip()
    return ""


def says(labels: Mapping[str, str], name: str) -> bool | None:
    """Return whether a label of yes or no is on or off; None where it is not there, or says neither."""
    text = label(labels, name).lower()
    return True if text in TRUE else False if text in FALSE else None


def scope(labels: Mapping[str, str]) -> str:
    """Return the scope that a container is in; ``none`` where it is in none."""
    return label(labels, "scope") or NO_SCOPE


def duration_ms(text: str) -> int | None:
    """Return a duration such as ``48h``, ``3d``, ``1w`` or ``1h30m`` in milliseconds; ``0`` is none, None: it is no duration."""
    text = text.strip().lower()
    if text == "0":
        return 0
    if not _DURATION.fullmatch(text):
        return None
    return round(sum(float(number) * _UNITS_MS[unit] for number, unit in re.findall(r"([\d.]+)([wdhms])", text)))
