"""Restart the containers that say they want it after one that they need was updated; written down, so none stays stopped.

A restart is a stop and a start. Which are due, and which were stopped for one, stands in a file before it happens, and
the next start of the agent goes on there.
"""

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from fleet.engine.protocol import Engine
from fleet.errors import EngineError, EngineUnreachable
from fleet.updates.files import write_atomically

log = logging.getLogger(__name__)

_BEGUN = "+"
"""Stands before the name of a container that may have been stopped already: no container is called so."""


class Restarts:
    """The restarts that are due on this host, in a file of its own."""

    def __init__(self, file: Path) -> None:
        """Keep them in *file*, which is made with the first of them."""
        self._file = file

    def due(self) -> tuple[str, ...]:
        """Return the names of the containers that are to be restarted, in the order in which they were added."""
        return tuple(name.removeprefix(_BEGUN) for name in self._lines())

    def add(self, names: Iterable[str]) -> None:
        """Write down that *names* are to be restarted."""
        known = self.due()
        if new := [name for name in dict.fromkeys(names) if name not in known]:
            self._write([*self._lines(), *new])

    def drop(self, names: Iterable[str]) -> None:
        """Forget *names*: they were started anew, or are not to be."""
        gone = {_BEGUN + name for name in names} | set(names)
        lines = self._lines()
        if left := [line for line in lines if line not in gone]:
            self._write(left)
        elif lines:
            self._file.unlink()

    def carry_out(self, engine: Engine) -> None:
        """Restart all that is due; raise EngineUnreachable where the engine stays away, and go on there next time.

        Only what runs is restarted, and what was stopped for it. One that the engine refuses is told of in the log, and
        stays as it is: its needs were updated all the same.
        """
        for line in self._lines():
            name = line.removeprefix(_BEGUN)
            try:
                self._restart(engine, name, begun=line != name)
            except EngineUnreachable:
                raise
            except EngineError as error:
                log.error("dependent not restarted", extra={"container": name, "reason": str(error)})
            self.drop((name,))

    def _restart(self, engine: Engine, name: str, *, begun: bool) -> None:
        found = engine.inspect(name)
        if found is None or found["Name"].lstrip("/") != name:
            return
        running = bool(found["State"].get("Running"))
        if not begun and (not running or found["HostConfig"].get("AutoRemove")):
            return  # somebody stopped it, or its stop would be its end
        if not begun:
            self._write([_BEGUN + name if line == name else line for line in self._lines()])
        if running:
            engine.stop(found["Id"])
        engine.start(found["Id"])
        log.info("dependent restarted", extra={"container": name})

    def _lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return self._file.read_text(encoding="utf-8").split()
        return []

    def _write(self, lines: Iterable[str]) -> None:
        write_atomically(self._file, "\n".join(lines).encode())
