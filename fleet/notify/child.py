"""A module of ours run in a process that ends, so that what never comes back, or takes all memory, takes nothing else along."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def ask(module: str, asked: Mapping[str, Any], env: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
    """Hand *asked* to a module as JSON, and return what it answers; raise TimeoutError, and OSError where it ended without.

    What is asked goes by stdin: arguments and environment of a process can be read by others of this machine.
    """
    command = [sys.executable, "-m", module]
    try:
        ran = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=timeout_s, check=False, env=env
        )
        found: dict[str, Any] = json.loads(ran.stdout)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
    except ValueError:
        raise OSError("it ended without an answer") from None
    return found


def environment(*, whole: bool) -> dict[str, str]:
    """Return what a child may know of this process's environment: never the centre's settings; *whole*: all else."""
    plain = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "SYSTEMROOT")
    return {
        name: value for name, value in os.environ.items() if not name.startswith("FLEET_") and (whole or name in plain)
    }
