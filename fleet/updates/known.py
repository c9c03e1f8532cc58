"""Which digest an image id was pulled by: kept by this agent, because a graphdriver engine forgets it when a name goes."""

import json
import threading
from pathlib import Path

from fleet.images.digest import Digest
from fleet.updates.files import write_atomically


class KnownDigests:
    """A table (image id, repository) -> digest in one JSON file; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Read *path*; a missing or broken file is an empty table, since it only holds what a pull can prove again."""
        self._path = path
        self._lock = threading.Lock()
        self._rows = _read(path)
        self._unwritten = False

    def get(self, image_id: str, repository: str) -> Digest | None:
        """Return the digest by which *repository* (``docker.io/library/nginx``) gave this image, None where unknown."""
        found = self._rows.get(image_id, {}).get(repository)
        return Digest.parse(found) if found else None

    def image_id(self, repository: str, digest: Digest) -> str:
        """Return the id of the image that *repository* gave by *digest*, or empty."""
        with self._lock:
            rows = [image for image, names in self._rows.items() if names.get(repository) == str(digest)]
        return rows[-1] if rows else ""

    def put(self, image_id: str, repository: str, digest: Digest) -> None:
        """Remember one pull; on the disk before this returns. Raise OSError where the disk is full: then in memory."""
        with self._lock:
            names = self._rows.setdefault(image_id, {})
            if names.get(repository) != str(digest) or self._unwritten:
                names[repository] = str(digest)
                self._write()

    def keep_only(self, image_ids: set[str]) -> None:
        """Forget the images that the engine no longer has."""
        with self._lock:
            gone = self._rows.keys() - image_ids
            for image in gone:
                del self._rows[image]
            if gone:
                self._write()

    def _write(self) -> None:
        self._unwritten = True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(self._rows).encode())
        self._unwritten = False


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        rows = json.loads(path.read_bytes())
        return {str(image): {str(k): str(Digest.parse(v)) for k, v in names.items()} for image, names in rows.items()}
    except Exception:
        return {}
