"""What the engine said of the images that containers run, kept because an engine may lose it.

Containerd's image store forgets an image altogether once its name has moved in a pull, although containers still run
it. Without its config nobody can tell what a container has from its image and what its user set.
"""

import json
from pathlib import Path

from fleet.engine.protocol import Inspect
from fleet.updates.files import write_atomically

_KEPT = ("Id", "Config", "Os", "Architecture", "Variant")


class KnownImages:
    """A folder with one file for each image id."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in *folder*, which is made with the first of them."""
        self._folder = folder

    def put(self, image: Inspect) -> None:
        """Remember *image*, an inspect; an id says all, so what is known is not written again."""
        file = self._file(str(image["Id"]))
        if not file.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(file, json.dumps({field: image.get(field) for field in _KEPT}).encode())

    def get(self, image_id: str) -> Inspect:
        """Return what is known of an image; empty where nothing is, or the file is damaged."""
        try:
            known = json.loads(self._file(image_id).read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def keep_only(self, image_ids: set[str]) -> None:
        """Forget the images that no container runs."""
        kept = {self._file(image).name for image in image_ids}
        for file in self._folder.glob("*.json"):
            if file.name not in kept:
                file.unlink(missing_ok=True)

    def _file(self, image_id: str) -> Path:
        return self._folder / f"{image_id.replace(':', '-').replace('/', '-')}.json"
