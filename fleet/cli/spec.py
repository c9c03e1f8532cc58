"""The file that holds a rollout's spec, in YAML or JSON; the centre reads what is in it."""

import sys
from pathlib import Path

from fleet.errors import BadInput


def spec_text(path: str) -> dict[str, str]:
    """Return what a request says of the spec in the file at *path*, ``-`` for stdin; raise BadInput."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise BadInput(f"cannot read the spec {path}: {why}") from error
    return {"spec_text": text, "spec_name": "the spec on stdin" if path == "-" else path[-300:]}
