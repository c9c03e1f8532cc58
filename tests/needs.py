"""What some tests need of the machine. A missing server is a skip at a desk and a failure in CI (``CI=true``)."""

import os
import shutil
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

_POSTGRESQL = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu keep the servers, one folder a version."""


def redis() -> str:
    """Return the path of a ``redis-server`` or ``valkey-server``."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or missing("redis-server", "apt-get install redis-server")


@cache
def _postgresql() -> Path | None:
    folders = sorted(_POSTGRESQL.glob("*/bin"), key=lambda at: int(at.parent.name) if at.parent.name.isdigit() else 0)
    on_path = shutil.which("initdb")
    return folders[-1] if folders else Path(on_path).parent if on_path else None


def postgresql() -> Path:
    """Return the folder with ``initdb``, ``pg_ctl`` and ``postgres``."""
    return _postgresql() or missing("a PostgreSQL server", "apt-get install postgresql")


def mosquitto() -> str:
    """Return the path of the MQTT broker ``mosquitto``, which Debian keeps where not everybody looks."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return found or missing("mosquitto", "apt-get install mosquitto")


def promtool() -> str:
    """Return the path of Prometheus's ``promtool``."""
    return shutil.which("promtool") or missing("promtool", "apt-get install prometheus")


def lab() -> None:
    """Return where real engines can be started in network namespaces: as root, with a dockerd."""
    if os.geteuid() != 0:
        missing("root", "run as root, on a machine that is yours")
    for program in ("dockerd", "containerd", "ip", "nsenter"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            missing(program, "scripts/install-engines packages 20.10 26.1")


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test, or fail it in CI, because *what* is not there."""
    text = f"cannot run without {what}; {remedy}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
