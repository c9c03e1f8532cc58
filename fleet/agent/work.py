"""Carries commands out, one after the other, in a thread of its own: pull what is ordered, recreate what has its go.

Every step is in the journal before it is taken, so that whatever ends this process, the next one knows where to go on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

from fleet.agent import machine
from fleet.agent.backoff import Backoff
from fleet.agent.commands import Commands
from fleet.agent.facts import ENGINE_AWAY
from fleet.agent.problems import Problems
from fleet.clock import Clock
from fleet.engine.protocol import Engine
from fleet.errors import BadInput, EngineError, EngineUnreachable, FleetError, Refused
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.road.messages import Outcome, Progress, Up
from fleet.updates.command import Policy, Target, UpdateCommand, pull_key
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import CommandEntry, CommandState, Journal, Stage
from fleet.updates.observe import DigestTable, observe
from fleet.updates.order import graph
from fleet.updates.outcome import PullOutcome, Result, UpdateOutcome
from fleet.updates.own import OwnOrder, OwnUpdate
from fleet.updates.plan import Action, HostPlan, plan
from fleet.updates.pull import PullProgress
from fleet.updates.restart import Restarts

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often work on one step of a command is begun. Only an end of the process, or what nobody foresaw, spends one."""
OWN_POLL_S = 1.0
"""How often the outcome of the update of the agent's own container is looked for."""
STUCK, UNRECOVERED = "work-stuck", "not-recovered"


class Pulls(Protocol):
    """What brings images to the engine."""

    def open(self) -> None:
        """Begin: sweep what an earlier agent left; raise EngineUnreachable where that must wait."""
        ...

    def pull(
        self,
        reference: Reference,
        digest: Digest,
        *,
        pull_id: UUID,
        platform: Platform | None,
        policy: Policy,
        progress: Callable[[PullProgress], None],
        stop: Callable[[], bool],
    ) -> PullOutcome:
        """Bring *digest* to the engine; raise EngineUnreachable alone."""
        ...

    def forget_strangers(self) -> None:
        """Ask every global mirror for every registry again."""
        ...

    def close(self) -> None:
        """End."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Where what happens is told."""

    put: Callable[[Outcome], None]
    """Raises OSError where the outcome is not on the disk: then it stays in the journal."""
    say: Callable[[Up], None]
    ready: Callable[[], None]
    """Told when a command became ready: its record says so."""
    changed: Callable[[], None]
    """Told when the containers of a command have been touched: who asks next must not be told of those before."""


class Stopped(Exception):
    """The process ends, or the command was cancelled: what is under way is left to be taken up or forgotten."""


class Workshop:
    """Does the work of one host; its steps are taken by one thread."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        commands: Commands,
        pulls: Pulls,
        known: DigestTable,
        ways: Ways,
        *,
        clock: Clock,
        problems: Problems,
        own: OwnUpdate | None = None,
    ) -> None:
        """Prepare; the first step takes up what an earlier agent left."""
        self._engine, self._journal, self._commands, self._pulls = engine, journal, commands, pulls
        self._known, self._ways, self._clock, self._problems = known, ways, clock, problems
        self._backoff = Backoff(first_s=2.0, longest_s=60.0)
        self._recovered = False
        self._own = own
        self._restarts = Restarts(journal.path / "restarts")
        self.stopping: Callable[[], bool] = lambda: False
        """Whether this process ends; set by the owner of the thread."""
        self.busy = False
        """Whether a command is being carried out, or a container is being brought back: a bad moment to end."""

    def step(self) -> float:
        """Do the next thing, and return the seconds until there may be another one."""
        try:
            if not self._recovered:
                self._recover()
            if self._own is not None and not self._own_is_over(self._own):
                return OWN_POLL_S
            entry = self._commands.due()
            if entry is not None:
                self._engine.ping()
                self._carry_out(entry)
        except Stopped:
            return 0.0
        except EngineUnreachable as error:
            self._problems.raise_(ENGINE_AWAY, str(error))
            return self._failed("engine away, the work waits", error)
        except (FleetError, OSError) as error:
            self._problems.raise_(STUCK if self._recovered else UNRECOVERED, _reason(error))
            return self._failed("work failed", error)
        self._went_well()
        return 0.0 if entry is not None else float("inf")

    def _recover(self) -> None:
        """Take every update that was in flight to its end, and its outcome to the outbox."""
        self._engine.ping()
        self.busy = True
        try:
            ended = recover(self._engine, self._journal, self._clock)
        finally:
            self.busy = False
        for command, outcome in ended:
            record = self._journal.update(outcome.update_id)
            log.info("update taken up", extra=_told(command, outcome))
            self._let_restart(outcome)
            self._end(command, outcome, record.pull if record else None, record.target if record else None)
        self._restarts.carry_out(self._engine)
        self._ask_again()
        self._pulls.open()
        self._recovered = True

    def _ask_again(self) -> None:
        """Take back every go that an earlier agent was given: the centre is to judge anew what was not begun."""
        going = self._commands.in_state(CommandState.GOING)
        for entry in going:
            self._commands.change(entry.id, partial(machine.unsaid, now=self._clock.now()))
        if going:
            self._ways.ready()

    def _carry_out(self, entry: CommandEntry) -> None:
        """Do what is due for one command, and count that it was begun."""
        if entry.attempts >= MOST_ATTEMPTS and not self._in_flight(entry):
            self._abandon(entry)
            return
        begun = self._commands.change(entry.id, machine.begun)
        if begun is None:
            return
        self.busy = True
        try:
            if begun.state is CommandState.ORDERED:
                self._pull_all(begun)
            else:
                self._recreate_all(begun)
        except Stopped:
            self._commands.change(entry.id, machine.spared)
            raise
        finally:
            self.busy = False

    def _pull_all(self, entry: CommandEntry) -> None:
        """Bring every image that is needed, and be ready, or done where nothing is left to be recreated."""
        self._leave_out(entry)
        for target in self._left(entry.id):
            key = pull_key(target)
            pull = self._pull(entry.id, target, key)
            if not pull.ok:
                reason = f"cannot update {target.container}: its image was not pulled: {pull.reason}"
                self._end(entry.id, machine.untouched(target, Result.FAILED, reason, pull=pull), pull, target)
        if self._commands.change(entry.id, partial(machine.pulled, now=self._clock.now())):
            self._ways.ready()

    def _pull(self, command: UUID, target: Target, key: str) -> PullOutcome:
        """Return what came of a pull: of an earlier one, or of one that is made now and written down."""
        entry = self._current(command)
        if key in entry.pulls:
            return entry.pulls[key]
        order = _order(entry)
        outcome = self._pulls.pull(
            target.reference,
            target.digest,
            pull_id=order.pull_ids[key],
            platform=target.platform,
            policy=order.policy,
            progress=lambda made: self._ways.say(_pulling(command, target.container, made)),
            stop=lambda: self._unwanted(command),
        )
        if not outcome.ok and self._unwanted(command):
            raise Stopped
        if self._commands.change(command, partial(machine.with_pull, key=key, pull=outcome)) is None:
            raise Stopped
        return outcome

    def _recreate_all(self, entry: CommandEntry) -> None:
        """Recreate the targets, what is needed before what needs it; each has its outcome before the next one is begun."""
        planned = self._leave_out(entry)
        place = {step.target.update_id: at for at, step in enumerate(planned.steps)}
        try:
            for target in sorted(self._left(entry.id), key=lambda left: (self._is_own(left), place[left.update_id])):
                if self.stopping():
                    raise Stopped
                if self._own is not None and self._is_own(target):
                    self._restarts.carry_out(self._engine)
                    self._hand_over(self._own, entry.id, target)
                    continue
                self._recreate(entry.id, target)
            self._restarts.carry_out(self._engine)
        finally:
            self._ways.changed()

    def _recreate(self, command: UUID, target: Target) -> None:
        entry = self._current(command)
        pull = entry.pulls[pull_key(target)]
        log.info("update begins", extra={"command": str(command), "container": target.container})
        outcome = recreate_target(
            self._engine,
            self._journal,
            target,
            _order(entry).policy,
            pull,
            command_id=command,
            clock=self._clock,
            progress=lambda phase: self._ways.say(Progress(command=command, container=target.container, phase=phase)),
            siblings=self._siblings(command, target),
        )
        log.info("update ended", extra=_told(command, outcome))
        self._let_restart(outcome)
        self._end(command, outcome, pull, target)

    def _is_own(self, target: Target) -> bool:
        return self._own is not None and self._own.is_of(target)

    def _hand_over(self, own: OwnUpdate, command: UUID, target: Target) -> None:
        """Have the stand-in update this agent's own container; raise Stopped: the rest is found when that has ended."""
        entry = self._current(command)
        pull = entry.pulls[pull_key(target)]
        order = OwnOrder(command=command, target=target, policy=_order(entry).policy, pull=pull)
        try:
            own.hand_over(self._engine, order)
        except (EngineError, Refused) as error:
            own.forget(self._engine, order)
            self._end(command, machine.untouched(target, Result.FAILED, _reason(error), pull=pull), pull, target)
            return
        log.info("own update handed over", extra={"command": str(command), "container": target.container})
        raise Stopped

    def _own_is_over(self, own: OwnUpdate) -> bool:
        """Take over what came of the update of this agent's own container; tell whether none is under way."""
        order = own.pending()
        if order is None:
            return True
        outcome = own.outcome(order)
        if outcome is None and (hopeless := own.hopeless(self._engine, order)):
            outcome = machine.untouched(order.target, Result.FAILED, hopeless, pull=order.pull)
        if outcome is None:
            own.see_to_stand_in(self._engine, order)
            return False
        log.info("own update ended", extra=_told(order.command, outcome))
        self._end(order.command, outcome, order.pull, order.target)
        own.forget(self._engine, order)
        self._ways.changed()
        return True

    def _siblings(self, command: UUID, target: Target) -> list[tuple[Target, PullOutcome]]:
        """Return the further targets that are left of a command, with their pulls."""
        pulls = self._current(command).pulls
        others = (other for other in self._left(command) if other.update_id != target.update_id)
        return [(other, pulls[pull_key(other)]) for other in others if pull_key(other) in pulls]

    def _let_restart(self, outcome: UpdateOutcome) -> None:
        """Note whom the update makes due for a restart; what was updated itself has been started anew."""
        if outcome.result is not Result.UPDATED:
            return
        needs = graph(observe(self._engine, self._known, self._journal.images))
        record = self._journal.update(outcome.update_id)
        anew = (outcome.container, *(each.name for each in record.followers)) if record else (outcome.container,)
        self._restarts.drop(anew)
        self._restarts.add(needs.to_restart((outcome.container,), anew))

    def _leave_out(self, entry: CommandEntry) -> HostPlan:
        """End the targets that are not to be touched, by what runs now; one that was begun goes on all the same."""
        planned = plan(_order(entry), observe(self._engine, self._known, self._journal.images))
        for step in planned.steps:
            if step.action is Action.UPDATE or self._journal.update(step.target.update_id) is not None:
                continue
            result = Result.ALREADY_CURRENT if step.action is Action.ALREADY_CURRENT else Result.SKIPPED
            pull = entry.pulls.get(pull_key(step.target))
            self._end(entry.id, machine.untouched(step.target, result, step.reason, pull=pull), pull, step.target)
        return planned

    def _in_flight(self, entry: CommandEntry) -> bool:
        """Tell whether a container of *entry* may be down until its update is taken to its end."""
        try:
            begun = [each for each in self._journal.updates() if each.command == entry.id]
        except BadInput:
            return False  # a damaged record says nothing, now or later
        return any(each.outcome is None and each.stage is not Stage.CREATE for each in begun)

    def _abandon(self, entry: CommandEntry) -> None:
        """End a command that ended this process, or failed in a way of its own, too often."""
        log.error("command abandoned", extra={"command": str(entry.id), "attempts": entry.attempts})
        for target in self._left(entry.id):
            reason = (
                f"cannot update {target.container}: the agent ended or failed {entry.attempts} times while it worked"
                " on this command; see its log on the host"
            )
            outcome = machine.untouched(target, Result.ABANDONED, reason)
            self._end(entry.id, outcome, None, target, keep=True)
        self._commands.change(entry.id, partial(machine.over, now=self._clock.now()))

    def _end(
        self, command: UUID, outcome: UpdateOutcome, pull: PullOutcome | None, target: Target | None, keep: bool = False
    ) -> None:
        """Take an outcome over: into the outbox, then out of the command, then out of the journal.

        In this order: wherever it is cut off, the next start has the outcome still, or once more, and never none.
        """
        entry = self._commands.wanted(command)
        told = {"command": command, "outcome": outcome, "pull": pull, "finished_at": self._clock.now()}
        self._ways.put(Outcome.read_in(entry.version if entry else 1, **told))
        if target is not None:
            self._commands.change(command, partial(machine.without, ended=(target,), now=self._clock.now()))
        if not keep:
            self._journal.forget(outcome.update_id)

    def _unwanted(self, command: UUID) -> bool:
        return self.stopping() or self._commands.wanted(command) is None

    def _left(self, command: UUID) -> tuple[Target, ...]:
        entry = self._current(command)
        return entry.command.targets if entry.command else ()

    def _current(self, command: UUID) -> CommandEntry:
        """Return a command's record as it is now; raise Stopped where it was cancelled."""
        entry = self._commands.wanted(command)
        if entry is None:
            raise Stopped
        return entry

    def _failed(self, phrase: str, error: Exception) -> float:
        wait_s = self._backoff.next_s()
        log.warning(phrase, extra={"reason": _reason(error), "again_in_s": round(wait_s, 1)})
        return wait_s

    def _went_well(self) -> None:
        self._backoff.reset()
        for code in (STUCK, UNRECOVERED):
            self._problems.clear(code)


def _order(entry: CommandEntry) -> UpdateCommand:
    """Return what was ordered; a command has it from the state ORDERED on."""
    if entry.command is None:
        raise BadInput(f"cannot work on command {entry.id}: its record holds no order")
    return entry.command


def _pulling(command: UUID, container: str, made: PullProgress) -> Progress:
    return Progress(
        command=command,
        container=container,
        phase="pull",
        bytes=made.bytes,
        total=made.total or 0,
        mirror=made.source,
    )


def _reason(error: Exception) -> str:
    text = str(error)
    return text if text.startswith("cannot") else f"cannot go on: {type(error).__name__}: {text}"


def _told(command: UUID, outcome: UpdateOutcome) -> dict[str, object]:
    return {
        "command": str(command),
        "container": outcome.container,
        "result": str(outcome.result),
        "reason": outcome.reason,
        "downtime_ms": outcome.downtime_ms,
    }
