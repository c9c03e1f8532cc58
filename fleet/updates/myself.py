"""Which container this process runs in, if any."""

import re
from pathlib import Path

_MOUNTED = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)\b")
"""Where an engine keeps the files that it mounts over ``/etc/hostname`` and its like, whatever network a container has."""


def own_id(mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the id of this process's container; empty where it runs in none, or nothing says in which."""
    try:
        found = _MOUNTED.search(mounts.read_text())
    except OSError:
        return ""
    return found[1] if found else ""
