"""The labels by which people steer an update, read from a container's labels: ``fleet.NAME``, or Watchtower's own. Pure."""

from collections.abc import Mapping

WATCHTOWER = "com.centurylinklabs.watchtower."
PREFIXES = ("fleet.", WATCHTOWER)
"""Whose labels steer an update; the first that says anything wins."""
WATCHTOWER_STOP_SIGNAL = "com.centurylinklabs.watchtower.stop-signal"

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
