"""One update while it runs: its record in the journal and what its steps need."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fleet.clock import Clock, boot_id, since_ms
from fleet.engine.protocol import Engine, Inspect
from fleet.errors import EngineError
from fleet.updates.command import Target, UpdateOrder
from fleet.updates.follower import Follower
from fleet.updates.journal import Journal, Stage, UpdateEntry
from fleet.updates.outcome import Phases, PullOutcome, Result, UpdateOutcome
from fleet.updates.stopping import stopping

NO_RESTART = {"Name": "no", "MaximumRetryCount": 0}


class NotNow(EngineError):
    """cannot update now: this is not the moment for it"""


Progress = Callable[[str], None]
"""Told the phase that begins: ``create``, ``pre-update``, ``stop``, ``start``, ``verify``, ``post-update``, ``rollback``."""


@dataclass(slots=True, kw_only=True)
class Run:
    """The one mutable thing of an update: which record is the latest."""

    engine: Engine
    journal: Journal
    entry: UpdateEntry
    clock: Clock
    progress: Progress
    stop_began: float | None = None
    """When the old container was told to stop, by the monotonic clock; None in another process after a crash."""
    new_was_there: bool = False
    """Whether the new container was there when it was to be removed: nobody had taken it away."""

    @property
    def target(self) -> Target:
        """What is updated."""
        return self.entry.target

    @property
    def start_first(self) -> bool:
        """Whether the old container runs until the new one was verified."""
        return self.entry.order is UpdateOrder.START_FIRST

    def save(self, stage: Stage, **changes: Any) -> None:
        """Write down that *stage* is about to begin."""
        self.entry = self.journal.save(self.entry, stage=stage, **changes)

    def note(self, **changes: Any) -> None:
        """Change the record without writing it down: the next stage will."""
        self.entry = replace(self.entry, **changes)

    def remark(self, told: str) -> None:
        """Have the outcome of a success say *told* too; empty says nothing."""
        self.note(remark="; ".join(filter(None, (self.entry.remark, told))))

    def stop(self, old: Inspect) -> None:
        """Stop a container as its labels say; those were read before anything was touched."""
        how = stopping(old["Config"].get("Labels") or {})
        self.engine.stop(old["Id"], timeout_s=how.timeout_s, signal=how.signal)

    def downtime_ms(self) -> int | None:
        """Return the time since the old container was told to stop; None where it never was."""
        if self.stop_began is not None:
            return since_ms(self.clock, self.stop_began)
        if self.entry.stopped_at is None:
            return None
        if self.entry.boot and self.entry.boot == boot_id():
            return max(0, since_ms(self.clock, self.entry.stopped_tick))
        return max(0, round((self.clock.now() - self.entry.stopped_at).total_seconds() * 1000))

    def took(self, began: float, phase: str) -> Phases:
        """Return the phases with *phase* (``stop_ms``) set to the time since *began*."""
        return replace(self.entry.phases, **{phase: since_ms(self.clock, began)})

    def find_new(self) -> Inspect | None:
        """Return the new container, by its id or, where the id was not written down in time, its temporary name."""
        found = self.engine.inspect(self.entry.new_id) if self.entry.new_id else None
        return found or self.named(self.entry.new_name)

    def find_old(self) -> Inspect | None:
        """Return the old container, or the one that was made again in its place, wherever that was interrupted."""
        for known in (self.target.container_id, self.entry.again_id):
            found = self.engine.inspect(known) if known else None
            if found is not None:
                return found
        namesake = self.named(self.entry.old_name) or self.named(self.target.container)
        made_again = namesake is not None and namesake["Image"] == self.entry.old.get("Image")
        return namesake if made_again and namesake and namesake["Id"] != self.entry.new_id else None

    def named(self, name: str) -> Inspect | None:
        """Return the container of exactly that name; to the engine ``db`` is also the beginning of an id."""
        found = self.engine.inspect(name)
        return found if found is not None and found["Name"].lstrip("/") == name else None

    def leave_over(self, container: str) -> None:
        """Remember a container, by id or name, that the next start shall remove; a full disk forgets it."""
        with contextlib.suppress(OSError):
            self.journal.add_leftover(container)

    def close(self, result: Result, reason: str = "", **more: Any) -> UpdateOutcome:
        """Write the outcome down and return it; where the disk is full it is returned all the same."""
        outcome = outcome_of(self.entry, result, reason, **more)
        with contextlib.suppress(OSError):
            for follower in self.entry.followers:
                if follower.target is not None and follower.pull is not None:
                    self._close_follower(follower, follower.target, follower.pull, outcome)
            self.save(Stage.DONE, outcome=outcome)
        return outcome

    def _close_follower(self, follower: Follower, target: Target, pull: PullOutcome, lead: UpdateOutcome) -> None:
        """Write down the outcome of a follower that was to be updated too, as the journal has it for any update."""
        entry = replace(
            self.entry,
            target=target,
            pull=pull,
            old=follower.old,
            body=follower.body,
            new_id=follower.new_id,
            config_diff=follower.config_diff,
            followers=(),
            phases=replace(lead.phases, pull_ms=pull.duration_ms),
        )
        reason = f"cannot update {target.container}: it goes with {lead.container}: {lead.reason}"
        told = "" if lead.result is Result.UPDATED else reason
        self.journal.save(entry, stage=Stage.DONE, outcome=outcome_of(entry, lead.result, told))


def restart_policy(inspect: Inspect) -> dict[str, Any]:
    """Return the restart policy of a container, ``NO_RESTART`` where it has none."""
    policy = inspect["HostConfig"].get("RestartPolicy") or {}
    return dict(policy) if (policy.get("Name") or "no") != "no" else NO_RESTART


def outcome_of(entry: UpdateEntry, result: Result, reason: str = "", **more: Any) -> UpdateOutcome:
    """Return the outcome of *entry*."""
    target = entry.target
    told: dict[str, Any] = {
        "update_id": target.update_id,
        "container": target.container,
        "result": result,
        "reason": reason,
        "old_container_id": target.container_id,
        "new_container_id": entry.new_id if result is Result.UPDATED else "",
        "old_digest": str(target.old_digest or ""),
        "new_digest": str(target.digest),
        "old_image_id": target.image_id,
        "new_image_id": entry.pull.image_id,
        "pull_id": entry.pull.pull_id,
        "phases": entry.phases,
        "downtime_ms": entry.downtime_ms,
        "config_diff": entry.config_diff,
        "interrupted": entry.interrupted,
    }
    return UpdateOutcome(**(told | more))
