"""Caps: how many hosts with the same value of a label may be away at once, over all rollouts."""

from datetime import datetime

from pydantic import Field

from fleet.api.form import Answer, Part, Request


class Cap(Part):
    """One cap, as a person wrote it."""

    label: str
    most: str
    """``3``, or ``25%`` of the hosts with the same value, rounded down."""
    changed_by: str = ""
    changed_at: datetime | None = None


class CappedValue(Part):
    """How one value of a capped label stands."""

    label: str
    value: str
    limit: int
    """How many of its hosts may be away at once; 0: none of them ever gets a turn."""
    unavailable: int
    """How many are: live in any rollout, or failed at their latest try."""


class Caps(Answer):
    """The caps, by label, and how each value stands."""

    caps: tuple[Cap, ...]
    values: tuple[CappedValue, ...] = ()


class SetCap(Request):
    """Write a cap; it replaces the one before."""

    most: str = Field(min_length=1, max_length=40)
