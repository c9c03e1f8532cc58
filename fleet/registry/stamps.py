"""Whether a file is still the one that was read: files of this host are changed beside the agent, and read again then."""

from pathlib import Path

Stamp = tuple[str, int, int, int]
"""What changes when a file does: its path, when it was written (nanoseconds), its size in bytes, its inode."""


def stamp(path: Path) -> Stamp | None:
    """Return the stamp of *path*; None where there is no file, or none that may be looked at."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino
