"""Memory to which tests write as to a disk, where there is enough of it: nothing that they write must outlive the machine."""

import shutil
from pathlib import Path

_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 4 * 1024**3
"""Where files need no disk, and how much of it must be free: all that tests keep at one time is a tenth of that."""


def memory() -> Path | None:
    """Return where files need no disk; None where that has too little room.

    Journals, databases and brokers wait for the disk at every step, which thousands of tests would wait for too.
    """
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES else None
