"""What this host must not forget: every update in flight, every command, every message seen.

A record is written whole: to a temporary file, synced, renamed over the old one, and the folder synced. A reader
therefore finds the record before or after, never half of one, whenever the power goes.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from fleet.errors import BadInput
from fleet.updates.command import Policy, Target, UpdateCommand, UpdateOrder
from fleet.updates.files import sync_folder
from fleet.updates.files import write_atomically as write_atomically
from fleet.updates.follower import Follower
from fleet.updates.images import KnownImages
from fleet.updates.outcome import Phases, PullOutcome, UpdateOutcome

log = logging.getLogger(__name__)
T = TypeVar("T")

SEEN_KEPT = 2_000
"""How many ids of messages are remembered, the latest; an expired message is refused before it gets here."""


class Stage(StrEnum):
    """How far one update is. Each stage is written before what it names is begun, and so after what came before it.

    They stand here as they follow each other with ``stop-first``. With ``start-first`` they are CREATE, HOOK, START,
    VERIFY, RELEASE, SWAP, REMOVE: the old one runs until it is removed. HOOK is left out where no hook may be run.
    """

    CREATE = "create"
    """The new container is about to be created under its temporary name; the old one runs."""
    HOOK = "hook"
    """The new one was created; the hooks before the update are about to be run in the old one."""
    RELEASE = "release"
    """The new one was created; the old one's restart policy is about to be taken off."""
    STOP = "stop"
    """The old one is about to be stopped."""
    SWAP = "swap"
    """The old one was stopped; the names are about to be swapped."""
    START = "start"
    """The new one is about to be started; with ``stop-first`` it has the name."""
    VERIFY = "verify"
    """The new one was started, and must now prove itself."""
    REMOVE = "remove"
    """The new one was verified and has the name; the old one is about to be removed: from here on it goes forward."""
    UNDO = "undo"
    """Something went wrong: the old one is being brought back."""
    DONE = "done"
    """It has its outcome, which waits to be taken over by the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateEntry:
    """One update in flight, with all that is needed to finish it or to take it back."""

    command: UUID
    target: Target
    policy: Policy
    pull: PullOutcome
    stage: Stage
    old: dict[str, Any]
    """The full inspect of the old container, before anything was touched."""
    body: dict[str, Any]
    """The create body of the new container."""
    connect: tuple[tuple[str, dict[str, Any]], ...] = ()
    platform: str = ""
    new_id: str = ""
    """The new container's id; empty until the stage after CREATE."""
    again_id: str = ""
    """The id of the old container where it had to be made again; empty until it was, in the stage UNDO."""
    stopped_at: datetime | None = None
    """By the host's clock; written with the stage STOP, and taken for the beginning of the downtime after a reboot."""
    stopped_tick: float = 0.0
    """The same by the monotonic clock of the run *boot* of the machine: what counts after a crash, whatever sets the clock."""
    boot: str = ""
    downtime_ms: int | None = None
    """Written with the stage VERIFY: how long it took until the new container ran."""
    phases: Phases = field(default_factory=Phases)
    reason: str = ""
    """Why the stage UNDO was reached."""
    owed_since: datetime | None = None
    """By the host's clock: when the way back failed, in what is kept of the record beside its outcome."""
    not_now: bool = False
    """Whether nothing went wrong: a hook asks for another time, or somebody changed the container. No failure, a skip."""
    interrupted: bool = False
    """Whether it was the end of the agent, in the middle of what had gone well until then."""
    known_before: tuple[str, ...] = ()
    """What the config diff begins with: what was known before the new container was there to compare."""
    config_diff: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    """The paths that are to be copied from the old container's writable layer."""
    order: UpdateOrder = UpdateOrder.STOP_FIRST
    """The order that is taken, whatever was wished for."""
    remark: str = ""
    """What the outcome of a success says too: why the wished order could not be taken."""
    followers: tuple[Follower, ...] = ()
    """Who is recreated with it, whom others need first."""
    outcome: UpdateOutcome | None = None
    """Set with the stage DONE."""

    @property
    def update_id(self) -> UUID:
        """The id of the update, by which its file is named."""
        return self.target.update_id

    @property
    def new_name(self) -> str:
        """The temporary name of the new container, until the swap."""
        return f"{self.target.container}.fleet-new-{self.update_id.hex[-8:]}"

    @property
    def old_name(self) -> str:
        """The name that the old container gets at the swap."""
        return f"{self.target.container}.fleet-old-{self.target.container_id[:12]}"


class CommandState(StrEnum):
    """How far a command is on this host."""

    OFFERED = "offered"
    """Its offer was answered with a claim."""
    ORDERED = "ordered"
    """The order is here; its images are being pulled."""
    READY = "ready"
    """Every byte is there; the go is awaited."""
    GOING = "going"
    """The go came; containers are being updated."""
    DONE = "done"
    """Every target has its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEntry:
    """One command, as far as this host knows it."""

    id: UUID
    state: CommandState
    command: UpdateCommand | None = None
    """None until the order came."""
    pulls: dict[str, PullOutcome] = field(default_factory=dict)
    """What came of each pull, by its pull key."""
    attempts: int = 0
    """How often work on it was begun; a command that kills its agent is abandoned after a few."""
    version: int = 1
    """The version of messages in which the centre ordered it, and so reads what came of it."""
    cancelled: str = ""
    """Why it was cancelled; empty where it was not."""
    changed_at: datetime
    """By the host's clock; for people and for forgetting."""


_UPDATE = TypeAdapter(UpdateEntry)
_COMMAND = TypeAdapter(CommandEntry)


class Journal:
    """The records of one host, under one folder that only its owner may read."""

    def __init__(self, path: Path, *, writer: bool = True, after_write: Callable[[str], None] | None = None) -> None:
        """Open the journal at *path*, made where it is missing; *after_write* is told of each write, for tests.

        Its *writer*, of whom there is one, sweeps away what a crash left half written. Whoever looks into the journal of
        another process is none: what it finds half written may be about to be renamed.
        """
        self.path = path
        self._after_write = after_write
        self.images = KnownImages(path / "images")
        """What is known of the images that containers run; a memory that observing fills, not a record."""
        for folder in (path, path / "updates", path / "commands"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (path, path / "updates", path / "commands", path / "owed"):
            for unfinished in folder.glob(".*.tmp") if writer else ():
                unfinished.unlink(missing_ok=True)

    def save(self, entry: UpdateEntry, **changes: Any) -> UpdateEntry:
        """Write *entry* with *changes*, and return it; when this returns, it outlives a power cut."""
        changed = replace(entry, **changes)
        self._write(self._update_file(changed.update_id), _UPDATE.dump_json(changed), f"update:{changed.stage}")
        return changed

    def update(self, update_id: UUID) -> UpdateEntry | None:
        """Return the record of one update, or None."""
        return self._read(_UPDATE, self._update_file(update_id))

    def updates(self) -> list[UpdateEntry]:
        """Return every record of an update, open or waiting to be taken over, oldest id first; damaged ones are left out."""
        return self._readable(_UPDATE, "updates")[0]

    def damaged_updates(self) -> list[BadInput]:
        """Return why each record of an update that nobody can read is none, with its file."""
        return self._readable(_UPDATE, "updates")[1]

    def forget(self, update_id: UUID) -> None:
        """Forget an update whose outcome is safe elsewhere."""
        self._remove(self._update_file(update_id))

    def save_command(self, entry: CommandEntry, **changes: Any) -> CommandEntry:
        """Write a command's record with *changes*, and return it."""
        changed = replace(entry, **changes)
        self._write(self._command_file(changed.id), _COMMAND.dump_json(changed), f"command:{changed.state}")
        return changed

    def command(self, command_id: UUID) -> CommandEntry | None:
        """Return the record of one command, or None."""
        return self._read(_COMMAND, self._command_file(command_id))

    def commands(self) -> list[CommandEntry]:
        """Return every record of a command, oldest id first.

        A damaged one is as if the command had never come: the centre offers it again, and what it did is seen on the engine.
        """
        entries, damaged = self._readable(_COMMAND, "commands")
        for error in damaged:
            log.error("command forgotten", extra={"reason": str(error)})
        return entries

    def forget_command(self, command_id: UUID) -> None:
        """Forget a command."""
        self._remove(self._command_file(command_id))

    def seen(self, message_id: UUID) -> bool:
        """Tell whether *message_id* is remembered."""
        return str(message_id) in self._seen()

    def see(self, message_id: UUID) -> bool:
        """Remember *message_id*; tell whether it is new."""
        seen = self._seen()
        if str(message_id) in seen:
            return False
        kept = [*seen, str(message_id)][-SEEN_KEPT:]
        self._write(self.path / "seen", "\n".join(kept).encode(), "seen")
        return True

    def add_leftover(self, container_id: str) -> None:
        """Remember a stopped container that could not be removed, so that the next start tries again."""
        kept = [*self.leftovers(), container_id]
        self._write(self.path / "leftovers", "\n".join(dict.fromkeys(kept)).encode(), "leftovers")

    def drop_leftover(self, container_id: str) -> None:
        """Forget a leftover that is gone."""
        kept = [one for one in self.leftovers() if one != container_id]
        self._write(self.path / "leftovers", "\n".join(kept).encode(), "leftovers")

    def leftovers(self) -> list[str]:
        """Return the ids of the containers that are still to be removed."""
        file = self.path / "leftovers"
        return file.read_text(errors="replace").split() if file.exists() else []

    def owe(self, entry: UpdateEntry) -> None:
        """Keep the record of an update whose way back failed, beside its outcome: it is to be gone on with."""
        file = self._owed_file(entry.update_id)
        # Only now: an older agent's journal has no such folder, and a disk that is full must not keep this one from starting.
        file.parent.mkdir(mode=0o700, exist_ok=True)
        self._write(file, _UPDATE.dump_json(entry), "owed")

    def owed(self) -> list[UpdateEntry]:
        """Return the records of the updates whose way back is to be gone on with."""
        return self._readable(_UPDATE, "owed")[0]

    def settle(self, update_id: UUID) -> None:
        """Forget an update whose way back was owed."""
        self._remove(self._owed_file(update_id))

    def _seen(self) -> list[str]:
        file = self.path / "seen"
        return file.read_text(errors="replace").split() if file.exists() else []

    def _update_file(self, update_id: UUID) -> Path:
        return self.path / "updates" / f"{update_id}.json"

    def _owed_file(self, update_id: UUID) -> Path:
        return self.path / "owed" / f"{update_id}.json"

    def _command_file(self, command_id: UUID) -> Path:
        return self.path / "commands" / f"{command_id}.json"

    def _readable(self, kind: TypeAdapter[T], folder: str) -> tuple[list[T], list[BadInput]]:
        """Return the records of a folder that can be read, and what is wrong with the others."""
        entries: list[T] = []
        damaged: list[BadInput] = []
        for file in sorted((self.path / folder).glob("*.json")):
            try:
                entry = self._read(kind, file)
            except BadInput as error:
                damaged.append(error)
                continue
            if entry is not None:
                entries.append(entry)
        return entries, damaged

    def _write(self, file: Path, content: bytes, what: str) -> None:
        write_atomically(file, content)
        if self._after_write is not None:
            self._after_write(what)

    def _remove(self, file: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
            sync_folder(file.parent)

    def _read(self, kind: TypeAdapter[T], file: Path) -> T | None:
        try:
            return kind.validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise BadInput(
                f"cannot read {file}; it was written by another version of Fleet, or damaged: see by docker ps -a that its"
                " container runs, then remove the file"
            ) from error
