"""The layers of every image that has a name are known, whatever the names are."""

from typing import Any

from fleet.clock import SystemClock
from fleet.engine.protocol import Inspect
from fleet.errors import EngineError
from fleet.testing.engine import MemoryEngine
from fleet.updates.chains import chains


class Layered(MemoryEngine):
    """An engine that tells of layers, and counts what it is asked."""

    def __init__(self, images: dict[str, Any]) -> None:
        super().__init__(SystemClock())
        self.images, self.asked = images, 0

    def image_names(self) -> list[str]:
        """Return the names."""
        return sorted(self.images)

    def image(self, image: str) -> Inspect | None:
        """Return what the test put there, or raise it."""
        self.asked += 1
        found = self.images[image]
        if isinstance(found, Exception):
            raise found
        return None if found is None else {"RootFS": {"Layers": found}}


def test_an_image_with_both_kinds_of_name_is_asked_for_once() -> None:
    engine = Layered({"app:1": ["a", "b"], "app@sha256:1": ["a", "b"], "10.0.0.1:5000/db@sha256:2": ["c"]})
    assert chains(engine) == [("a", "b"), ("c",)]
    assert engine.asked == 2


def test_an_image_that_goes_away_meanwhile_or_has_no_layers_is_no_error() -> None:
    gone = EngineError("cannot find it", status=404)
    assert chains(Layered({"a:1": gone, "b:1": None, "c:1": [], "d:1": ["x"]})) == [("x",)]
