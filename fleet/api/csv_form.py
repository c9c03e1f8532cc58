"""Values as cells of CSV: lists and objects as JSON, and no text that a spreadsheet would calculate."""

import json
from typing import Any

_CALCULATED = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with in a spreadsheet."""


def cell(value: Any) -> Any:
    """Return *value* as a cell; a text that a spreadsheet would calculate gets an apostrophe before it: a host may have written it."""
    if isinstance(value, list | dict):
        return json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_CALCULATED) else value
