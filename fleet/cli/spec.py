"""The file that holds a rollout's spec: TOML, or JSON where its name or its first sign says so."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from fleet.errors import BadInput


def read_spec(path: str) -> dict[str, Any]:
    """Return the document in the file at *path*, ``-`` for stdin; raise BadInput where it is none."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"cannot read the spec {path}: {getattr(error, 'strerror', None) or 'not a text file'}"
        ) from error
    is_json = path.endswith(".json") or text.lstrip().startswith("{")
    try:
        found = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:
        raise BadInput(f"cannot use {path} as a spec: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"cannot use {path} as a spec: expected names and values, such as waves and max_parallel")
    return found
