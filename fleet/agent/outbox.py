"""What must reach the centre: outcomes, on the disk until the centre's receipt, and said again until then."""

import logging
import threading
from pathlib import Path
from uuid import UUID, uuid5

from pydantic import ValidationError

from fleet.agent.backoff import Backoff
from fleet.agent.problems import Problems
from fleet.clock import Clock
from fleet.road.messages import Outcome
from fleet.updates.journal import write_atomically

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""The first wait for a receipt: a tick of the centre, and the inbox's, with room for a busy one."""
LONGEST_S = 300.0
UNWRITTEN, UNREADABLE = "outbox-unwritten", "outbox-unreadable"


class Due:
    """When something is to be said next; again and again, until it is dropped."""

    def __init__(self, clock: Clock) -> None:
        """Be due at once."""
        self._clock = clock
        self._backoff = Backoff(first_s=AGAIN_S, longest_s=LONGEST_S)
        self._at = clock.monotonic()

    def in_s(self) -> float:
        """Return the seconds until it is due."""
        return max(0.0, self._at - self._clock.monotonic())

    def said(self) -> None:
        """Note that it was said, and let it rest."""
        self._at = self._clock.monotonic() + self._backoff.next_s()

    def again(self) -> None:
        """Be due at once, and more often from here on."""
        self._backoff.reset()
        self._at = self._clock.monotonic()


class Outbox:
    """The outcomes that the centre has not confirmed; safe to use from several threads."""

    def __init__(self, path: Path, *, clock: Clock, problems: Problems) -> None:
        """Take up what an earlier agent left in the folder *path*, made where it is missing."""
        self._path, self._clock, self._problems = path, clock, problems
        self._lock = threading.Lock()
        self._waiting: dict[UUID, tuple[Outcome, Due]] = {}
        self._unwritten: set[UUID] = set()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in sorted(path.glob("*.json")):
            self._take_up(file)

    def __len__(self) -> int:
        """Return how many outcomes wait."""
        with self._lock:
            return len(self._waiting)

    def put(self, outcome: Outcome) -> None:
        """Keep *outcome* until its receipt; one that is kept already stays as it was.

        Raise OSError where it is kept in memory alone, because the disk is full: it is said all the same, but whoever
        has it elsewhere must keep it there, and put it once more.
        """
        id = outcome.outcome.update_id
        with self._lock:
            if id not in self._waiting:
                self._waiting[id] = (outcome, Due(self._clock))
                self._unwritten.add(id)
            if id in self._unwritten:
                self._write(id, self._waiting[id][0])

    def drop(self, id: UUID) -> bool:
        """Forget the outcome of the update *id*: the centre has it; tell whether it was kept."""
        with self._lock:
            self._file(id).unlink(missing_ok=True)
            self._unwritten.discard(id)
            return self._waiting.pop(id, None) is not None

    def due(self) -> list[tuple[UUID, Outcome]]:
        """Return the outcomes to be said now, oldest first, each with the id that its message always has."""
        with self._lock:
            return [(message_id(id), o) for id, (o, due) in sorted(self._waiting.items()) if not due.in_s()]

    def said(self, id: UUID) -> None:
        """Note that the outcome of the update *id* was sent."""
        with self._lock:
            if id in self._waiting:
                self._waiting[id][1].said()

    def again(self) -> None:
        """Let all be said at once: the centre is there again, or asks."""
        with self._lock:
            for _, due in self._waiting.values():
                due.again()

    def next_in_s(self) -> float:
        """Return the seconds until the next one is due."""
        with self._lock:
            return min((due.in_s() for _, due in self._waiting.values()), default=LONGEST_S)

    def _write(self, id: UUID, outcome: Outcome) -> None:
        try:
            write_atomically(self._file(id), outcome.model_dump_json().encode())
        except OSError as error:
            self._problems.raise_(UNWRITTEN, f"cannot write {self._path}: {error.strerror}; is the disk full?")
            log.error("outcome kept in memory alone", extra={"update": str(id), "reason": error.strerror})
            raise
        self._unwritten.discard(id)
        if not self._unwritten:
            self._problems.clear(UNWRITTEN)

    def _take_up(self, file: Path) -> None:
        try:
            outcome = Outcome.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            self._problems.raise_(UNREADABLE, f"cannot read {file}; it was damaged, or written by another version")
            log.error("outcome cannot be read", extra={"file": str(file)})
            return
        self._waiting[outcome.outcome.update_id] = (outcome, Due(self._clock))

    def _file(self, id: UUID) -> Path:
        return self._path / f"{id}.json"


def message_id(update_id: UUID) -> UUID:
    """Return the id of the message that tells of an update: always the same, so that it is taken once."""
    return uuid5(update_id, "outcome")
