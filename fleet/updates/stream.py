"""One pull of the engine in a thread of its own, so that it can be given up while the engine says nothing."""

import threading
from collections.abc import Iterator, Mapping

from fleet.engine.protocol import Engine, PullEvent
from fleet.errors import EngineUnreachable


class EnginePull:
    """Begins at once; the engine's lines are read until it ends or is stopped."""

    def __init__(
        self, engine: Engine, reference: str, *, auth: Mapping[str, str] | None = None, platform: str = ""
    ) -> None:
        """Pull *reference*; *auth* and *platform* as the engine's own ``pull`` takes them."""
        self.error: Exception | None = None
        """What the engine's pull raised, once it has ended by itself."""
        self._engine, self._reference, self._auth, self._platform = engine, reference, auth, platform
        self._layers: dict[str, tuple[int, int]] = {}
        self._lines: Iterator[PullEvent] = iter(())
        self._stop = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._read, name="engine-pull", daemon=True).start()

    def ended(self, within_s: float) -> bool:
        """Wait at most *within_s* seconds, and tell whether the pull has ended, well or not."""
        return self._ended.wait(within_s)

    def stop(self) -> None:
        """End the pull at once where the engine's stream can be cut off, and at its next line where it cannot."""
        self._stop.set()
        self._cut()

    def _cut(self) -> None:
        cut = getattr(self._lines, "cut", None)
        if cut is not None:
            cut()

    def progress(self) -> tuple[int, int | None]:
        """Return bytes so far and in all of the layers that the engine told of."""
        rows = list(self._layers.values())
        return sum(current for current, _ in rows), sum(total for _, total in rows) or None

    def _read(self) -> None:
        try:
            self._lines = self._engine.pull(self._reference, auth=self._auth, platform=self._platform)
            if self._stop.is_set():
                self._cut()
            for line in self._lines:
                self._count(line)
                if self._stop.is_set():
                    break
            close = getattr(self._lines, "close", None)
            if close is not None:
                close()
        except Exception as error:
            # What a pull that was cut off breaks off by is no word of the engine.
            self.error = None if self._stop.is_set() and not isinstance(error, EngineUnreachable) else error
        finally:
            self._ended.set()

    def _count(self, line: PullEvent) -> None:
        before, total = self._layers.get(line.layer, (0, 0))
        if line.status == "Downloading" and line.current is not None:
            self._layers[line.layer] = (max(before, line.current), line.total or total)
        elif line.status == "Download complete" and total:
            self._layers[line.layer] = (total, total)
