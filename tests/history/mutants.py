"""The usual holes of the SQL side, each seeded into it: what to break, and the invariant that must notice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from fleet.history import caps, expiring, inbox_batch, moves, rollout_facts, sending, settling, tick
from fleet.history.rollout_tables import rollout_hosts
from fleet.rollouts import advance
from fleet.rollouts.release import Answer, look_again
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import LIVE, CommandState, HostState, RolloutState
from fleet.rollouts.tries import after_expiry
from tests.history.rollout_machine import IN_WINDOWS, LENIENT, PLAIN, SOAKING, UNFORGIVING

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Mutant:
    """One hole."""

    name: str
    invariant: int
    seed: Callable[[Patch], None]
    first: RolloutSpec | None = None
    """A spec under which it can show, where few do; None: any."""


def _sends_without_another_look(patch: Patch) -> None:
    """Holds and ends are not looked at before a message; freezes are, for which there is a hole of its own."""

    def careless(command: CommandState, *_: Any, stopped: bool = False) -> Answer:
        return look_again(command, RolloutState.RUNNING, frozenset(), stopped=stopped)

    patch.setattr(sending, "look_again", careless)


def _no_fence(patch: Patch) -> None:
    """A late outcome of an earlier command ends the try that is under way now."""
    settle = settling.settle

    def unfenced(connection: Any, commands: Sequence[Any], tries: Mapping[Any, Any], *rest: Any) -> None:
        for command in commands:
            if (host := tries.get((command.rollout_id, command.host_id))) is not None:
                host.command_id = command.id
        settle(connection, commands, tries, *rest)

    patch.setattr(inbox_batch, "settle", unfenced)


def _trusts_the_word(patch: Patch) -> None:
    patch.setattr(settling, "_as_told", lambda row, pinned: (row.result, row.reason))


def _looks_at_no_snapshot(patch: Patch) -> None:
    """What a host shows is no matter, once it said that it updated."""
    patch.setattr(inbox_batch, "regress", lambda *_: None)


def _no_lease(patch: Patch) -> None:
    """Tries never run out of time."""
    patch.setattr(expiring, "expire_due", lambda *_: 0)


def _no_lease_of_messages(patch: Patch) -> None:
    patch.setattr(tick, "LEASE", timedelta(0))
    patch.setattr(sending, "_AGAIN", dict.fromkeys(CommandState, timedelta(0)))


def _no_windows(patch: Patch) -> None:
    patch.setattr(sending, "shut", lambda *_: set())


def _no_caps(patch: Patch) -> None:
    patch.setattr(rollout_facts, "caps_of", lambda *_: [])


def _broken_hosts_are_not_counted(patch: Patch) -> None:
    real = caps.caps_of

    def healthy(*given: Any) -> Any:

        live = select(rollout_hosts.c.host_id).where(rollout_hosts.c.state.in_(LIVE))
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(caps, "_away", lambda: live)
            return real(*given)

    patch.setattr(rollout_facts, "caps_of", healthy)


def _no_event(patch: Patch) -> None:
    move = moves.HostTry.move

    def silent(self: Any, state: HostState, now: Any, *, reason: str = "") -> None:
        move(self, state, now, reason=reason)
        if state is HostState.READY:
            self.events[-1]["kind"] = "hidden"

    patch.setattr(moves.HostTry, "move", silent)


def _freezes_are_only_for_show(patch: Patch) -> None:
    patch.setattr(rollout_facts, "holding", lambda *_: [])
    patch.setattr(sending, "what_stops", lambda *_: {})


def _budget_per_wave(patch: Patch) -> None:
    for name in ("gate", "holding", "dispatching"):
        patch.setattr(f"fleet.rollouts.{name}.over_budget", lambda facts: False)


def _goes_on_behind_a_failed_gate(patch: Patch) -> None:
    patch.setattr("fleet.rollouts.gate.why_failed", lambda *_: "")
    patch.setattr("fleet.rollouts.judging.why_failed", lambda *_: "")


def _offline_is_fine(patch: Patch) -> None:
    """A host that cannot be reached counts as done."""
    after = after_expiry

    def done(*given: Any) -> Any:

        return replace(after(*given), state=HostState.SUCCEEDED)

    patch.setattr(expiring, "after_expiry", done)


def _never_rests(patch: Patch) -> None:
    real, turns = advance.advance, [0]

    def restless(facts: Any, now: Any) -> Any:
        # Counted from the first rollout of an example on, so that the same one takes the same turn.
        turns[0] = 1 if facts.state is RolloutState.PLANNED else turns[0] + 1
        return real(facts, now) if turns[0] % 3 else ()

    patch.setattr("fleet.history.advancing.advance", restless)


HELD = RolloutSpec(waves=(WaveSpec(gate=Gate(success_pct=100, tolerance_pct=0)),))
"""Of one wave, which is no canary: where it fails, a person is waited for."""
MUTANTS = (
    Mutant("no fence", 1, _no_fence, HELD),
    Mutant("goes on behind a failed gate", 4, _goes_on_behind_a_failed_gate, LENIENT),
    Mutant("no caps", 5, _no_caps, PLAIN),
    Mutant("broken hosts are not counted", 5, _broken_hosts_are_not_counted, PLAIN),
    Mutant("no total budget", 6, _budget_per_wave, UNFORGIVING),
    Mutant("sends without another look", 7, _sends_without_another_look),
    Mutant("no windows", 8, _no_windows, IN_WINDOWS),
    Mutant("freezes are only for show", 8, _freezes_are_only_for_show, PLAIN),
    Mutant("rests too early", 10, _never_rests),
    Mutant("no lease of messages", 11, _no_lease_of_messages),
    Mutant("no lease", 15, _no_lease, PLAIN),
    Mutant("offline is fine", 16, _offline_is_fine, PLAIN),
    Mutant("a move without its event", 19, _no_event),
    Mutant("trusts the host's word", 22, _trusts_the_word, PLAIN),
    Mutant("looks at no snapshot", 22, _looks_at_no_snapshot, SOAKING),
)
