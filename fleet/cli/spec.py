"""The file that holds a rollout's spec, in YAML or JSON; the centre reads what is in it."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fleet.errors import BadInput


def speccing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the option that names a spec, and hand it what a request says of it as ``spec``."""

    @functools.wraps(command)
    def with_spec(*args: Any, spec: str | None, **more: Any) -> Any:
        return command(*args, spec=spec_text(spec) if spec else {}, **more)

    told = "A file with waves and limits, YAML or JSON; - for stdin."
    return click.option("--spec", type=click.Path(), help=told)(with_spec)


def spec_text(path: str) -> dict[str, str]:
    """Return what a request says of the spec in the file at *path*, ``-`` for stdin; raise BadInput."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise BadInput(f"cannot read the spec {path}: {why}") from error
    return {"spec_text": text, "spec_name": "the spec on stdin" if path == "-" else path[-300:]}
