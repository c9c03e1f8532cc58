"""The usual holes of the SQL side, each seeded into it: what to break, and the invariant that must notice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from fleet.history.commands import moves
from fleet.history.inbox import batch as inbox_batch
from fleet.history.inbox import hosts as inbox_hosts
from fleet.history.rollouts import (
    candidates,
    caps,
    dispatch,
    expiring,
    sending,
    settling,
    stopping,
    tick,
    wave_counts,
    wave_hosts,
)
from fleet.history.rollouts import facts as rollout_facts
from fleet.history.tables.facts import attempts, pulls
from fleet.history.tables.rollouts import rollout_hosts
from fleet.mirrors.attempt import AttemptResult
from fleet.rollouts import advance, ending
from fleet.rollouts.decisions import Finish
from fleet.rollouts.release import Answer, look_again
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import LIVE, CommandState, HostState, RolloutState
from fleet.rollouts.tries import after_expiry
from tests.history.rollout_machine import IN_WINDOWS, LENIENT, PLAIN, SOAKING, UNFORGIVING
from tests.history.world import Agent, digest_of

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
    for state in sending.AGAIN:
        patch.setitem(sending.AGAIN, state, timedelta(0))


def _no_windows(patch: Patch) -> None:
    patch.setattr(sending, "shut", lambda *_: set())


def _no_caps(patch: Patch) -> None:
    patch.setattr(candidates, "caps_of", lambda *_: [])


def _broken_hosts_are_not_counted(patch: Patch) -> None:
    real = caps.caps_of

    def healthy(*given: Any) -> Any:

        live = select(rollout_hosts.c.host_id).where(rollout_hosts.c.state.in_(LIVE))
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(caps, "_away", lambda: live)
            return real(*given)

    patch.setattr(candidates, "caps_of", healthy)


def _no_event(patch: Patch) -> None:
    move = moves.HostTry.move

    def silent(self: Any, state: HostState, now: Any, *, reason: str = "") -> None:
        move(self, state, now, reason=reason)
        if state is HostState.READY:
            self.events[-1]["kind"] = "hidden"

    patch.setattr(moves.HostTry, "move", silent)


def _freezes_are_only_for_show(patch: Patch) -> None:
    patch.setattr(candidates, "holding", lambda *_: [])
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

    patch.setattr("fleet.history.rollouts.advancing.advance", restless)


def _orders_another_digest(patch: Patch) -> None:
    """An order names what the tag has now, and not what was pinned."""
    real = dispatch._target

    def moved(pinned: Mapping[str, Any], platform: str) -> tuple[dict[str, Any], str]:
        target, key = real(pinned, platform)
        return {**target, "digest": digest_of("moved")}, key

    patch.setattr(dispatch, "_target", moved)


def _a_shut_wave_is_no_bar(patch: Patch) -> None:
    def all_pending(row: Any, spec: RolloutSpec, known: Sequence[Any]) -> list[int]:
        return [wave.number for wave in known if wave.count(HostState.PENDING) and not row["holds"]]

    patch.setattr(rollout_facts, "_with_room", all_pending)
    patch.setattr("fleet.rollouts.dispatching._touchable", lambda state: True)


def _ends_with_hosts_live(patch: Patch) -> None:
    """A rollout that is aborted is over at once, and what is under way is nobody's business any more."""
    real = ending.wind_down

    def unconcerned(command: CommandState, rollout: RolloutState, *given: Any, **more: Any) -> Answer:
        return Answer.WAIT if rollout.ended else look_again(command, rollout, *given, **more)

    def at_once(facts: Any, end: Any, reason: str, *, skipped: bool = False) -> Any:
        return real(facts, end, reason, skipped=skipped) or (Finish(state=end, reason=reason),)

    patch.setattr(ending, "wind_down", at_once)
    patch.setattr(sending, "look_again", unconcerned)


def _a_host_keeps_no_journal(patch: Patch) -> None:
    """A go that is repeated is carried out again."""
    real = Agent._recreate

    def forgetful(self: Agent, order: Any) -> Any:
        done, self.recreated = self.recreated, []
        try:
            return real(self, order)
        finally:
            self.recreated = done + self.recreated

    patch.setattr(Agent, "_recreate", forgetful)


def _counts_are_off(patch: Patch) -> None:
    """Who succeeded is not counted."""
    real = wave_counts._counted

    def stale(*given: Any) -> Any:
        return {n: {s: c for s, c in of.items() if s is not HostState.SUCCEEDED} for n, of in real(*given).items()}

    patch.setattr(wave_counts, "_counted", stale)


def _a_host_is_lost(patch: Patch) -> None:
    """Who waits is not withdrawn, but forgotten."""

    def forget(connection: Any, id: Any, states: Sequence[HostState], *_: Any) -> None:
        mine = (rollout_hosts.c.rollout_id == id, rollout_hosts.c.state.in_(list(states)))
        gone = connection.execute(select(rollout_hosts.c.wave).where(*mine)).scalars().all()
        connection.execute(delete(rollout_hosts).where(*mine))
        for number in gone:
            wave_hosts._resize(connection, id, {number: -1})

    patch.setattr(wave_hosts, "end", forget)


def _believes_the_hosts_clock(patch: Patch) -> None:
    """When a host was heard of is what its own clock says."""
    real = inbox_hosts.take_heartbeat

    def believing(batch: Any, host_id: Any, heartbeat: Any, received: Any) -> None:
        real(batch, host_id, heartbeat, received)
        batch.hosts[host_id]["last_seen_at"] = heartbeat.host_time

    patch.setattr("fleet.history.inbox.taking.take_heartbeat", believing)


def _an_old_rollout_goes_where_a_newer_was(patch: Patch) -> None:
    """One with gates is kept from there by the newer one's plan too, so that one hole alone is seldom seen."""
    patch.setattr(rollout_facts, "_superseding", lambda *_: None)
    patch.setattr(stopping, "overtaken", lambda *_: {})


def _a_dead_mirror_fails_the_update(patch: Patch) -> None:
    """An update of which one source could not be reached counts as failed, though another one served."""
    settle = settling.settle

    def blaming(connection: Any, commands: Sequence[Any], tries: Mapping[Any, Any], *rest: Any) -> None:
        settle(connection, commands, tries, *rest)
        now = rest[1]
        for command in commands:
            of = pulls.c.command_id == command.id
            query = select(attempts.c.pull_id).join(pulls, pulls.c.id == attempts.c.pull_id).where(of)
            dead = connection.execute(query.where(attempts.c.result == AttemptResult.UNREACHABLE)).first()
            host = tries.get((command.rollout_id, command.host_id))
            if dead and host is not None and host.command_id == command.id and host.state is HostState.SUCCEEDED:
                host.move(HostState.FAILED, now)

    patch.setattr(inbox_batch, "settle", blaming)


HELD = RolloutSpec(waves=(WaveSpec(gate=Gate(success_pct=100, tolerance_pct=0)),))
"""Of one wave, which is no canary: where it fails, a person is waited for."""
MUTANTS = (
    Mutant("no fence", 1, _no_fence, HELD),
    Mutant("orders another digest than the pinned one", 2, _orders_another_digest, PLAIN),
    Mutant("a shut wave is no bar", 3, _a_shut_wave_is_no_bar, SOAKING),
    Mutant("goes on behind a failed gate", 4, _goes_on_behind_a_failed_gate, LENIENT),
    Mutant("no caps", 5, _no_caps, PLAIN),
    Mutant("broken hosts are not counted", 5, _broken_hosts_are_not_counted, PLAIN),
    Mutant("no total budget", 6, _budget_per_wave, UNFORGIVING),
    Mutant("sends without another look", 7, _sends_without_another_look),
    Mutant("no windows", 8, _no_windows, IN_WINDOWS),
    Mutant("freezes are only for show", 8, _freezes_are_only_for_show, PLAIN),
    Mutant("ends with hosts live", 9, _ends_with_hosts_live, PLAIN),
    Mutant("rests too early", 10, _never_rests),
    Mutant("no lease of messages", 11, _no_lease_of_messages),
    Mutant("a host keeps no journal", 12, _a_host_keeps_no_journal, PLAIN),
    Mutant("counts are off", 13, _counts_are_off, PLAIN),
    Mutant("a host is lost", 14, _a_host_is_lost, SOAKING),
    Mutant("no lease", 15, _no_lease, PLAIN),
    Mutant("offline is fine", 16, _offline_is_fine, PLAIN),
    Mutant("believes the host's clock", 17, _believes_the_hosts_clock, PLAIN),
    Mutant("an old rollout goes where a newer was", 18, _an_old_rollout_goes_where_a_newer_was, UNFORGIVING),
    Mutant("a move without its event", 19, _no_event),
    Mutant("trusts the host's word", 22, _trusts_the_word, PLAIN),
    Mutant("looks at no snapshot", 22, _looks_at_no_snapshot, SOAKING),
    Mutant("a dead mirror fails the update", 23, _a_dead_mirror_fails_the_update, PLAIN),
)
