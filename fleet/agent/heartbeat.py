"""The heartbeat: that this host lives, and what it holds, so that every lost message is made good by the next one."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from fleet.agent.backoff import spread
from fleet.agent.commands import Commands
from fleet.agent.facts import Facts
from fleet.agent.inventory import Inventory
from fleet.agent.outbox import Outbox
from fleet.agent.problems import Problems
from fleet.clock import Clock
from fleet.road.messages import Heartbeat, Up
from fleet.updates.journal import CommandEntry, CommandState

EVERY_S = 300.0
JITTER = 0.1
"""The part of the interval by which one comes earlier or later, so that hosts which started together part."""
SOONEST_S = 10.0
"""How soon after a heartbeat another one may tell of a problem that came or went."""
LOOK_S = 30.0
"""How often it is looked whether one did."""
MOST_NAMED = 100
"""How many commands of a kind one heartbeat names; the centre reads no more."""


@dataclass(slots=True, kw_only=True)
class Reporter:
    """Says what runs here and that this host lives; its steps are taken by one thread."""

    say: Callable[[Up], None]
    facts: Facts
    inventory: Inventory
    commands: Commands
    outbox: Outbox
    problems: Problems
    clock: Clock
    every_s: float = EVERY_S
    beat_at: float = float("-inf")
    """When the next heartbeat is due, by the monotonic clock."""
    beaten_at: float = float("-inf")
    told: frozenset[str] = frozenset()
    """The codes of the problems that the last heartbeat told of."""

    def beat_now(self) -> None:
        """Let the next step send a heartbeat: at start, and when the queue is read again."""
        self.beat_at = float("-inf")

    def step(self) -> float:
        """Send what is due; return the seconds until the next is."""
        beating = self._is_due()
        if beating:
            self.beat_at = self.clock.monotonic() + spread(self.every_s, JITTER)
            self.commands.prune(self.clock.now())
        # Before the heartbeat, which then names what was just sent.
        self.inventory.step(look=beating)
        if beating:
            self.say(self.heartbeat())
            self.beaten_at, self.told = self.clock.monotonic(), self.problems.codes()
        return min(LOOK_S, self.beat_at - self.clock.monotonic(), self.inventory.in_s())

    def _is_due(self) -> bool:
        now = self.clock.monotonic()
        news = self.problems.codes() != self.told and now >= self.beaten_at + SOONEST_S
        return news or now >= self.beat_at

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat of this moment."""
        return Heartbeat(
            facts=self.facts.of_host(),
            snapshot_hash=self.inventory.hash,
            claims=_ids(self.commands.in_state(CommandState.OFFERED)),
            ready=_ids(self.commands.in_state(CommandState.READY)),
            outcomes_waiting=len(self.outbox),
            host_time=self.clock.now(),
        )


def _ids(entries: list[CommandEntry]) -> tuple[UUID, ...]:
    return tuple(entry.id for entry in entries[:MOST_NAMED])
