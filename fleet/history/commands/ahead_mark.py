"""The mark on an order that is only to pull ahead. It stands in the database, and is not sent."""

from collections.abc import Mapping
from typing import Any

MARK = "ahead"
"""The key in a command's order that says so."""

FETCHED = "its bytes are there, and its wave has not come yet"
"""Why such a command ends well."""


def is_ahead(order: Mapping[str, Any]) -> bool:
    """Tell whether an order is one to pull ahead."""
    return bool(order.get(MARK))


def sent(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an order is sent to the host."""
    return {key: value for key, value in order.items() if key != MARK}
