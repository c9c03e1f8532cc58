"""Carries commands out, one after the other, in a thread of its own: pull what is ordered, recreate what has its go.

Every step is in the journal before it is taken, so that whatever ends this process, the next one knows where to go on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from structlog.contextvars import bound_contextvars

from fleet.agent import machine
from fleet.agent.backoff import Backoff
from fleet.agent.commands import Commands
from fleet.agent.facts import ENGINE_AWAY
from fleet.agent.own_work import OwnWork
from fleet.agent.problems import Problems
from fleet.agent.pulls import Pulls
from fleet.agent.records import Records, Stopped, order_of, reason_of, told
from fleet.clock import Clock
from fleet.engine.protocol import Engine
from fleet.errors import EngineUnreachable, FleetError
from fleet.road.messages import Outcome, Progress, Up
from fleet.updates.command import Target, pull_key
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import CommandEntry, CommandState, Journal, Stage
from fleet.updates.observe import DigestTable, observe
from fleet.updates.order import graph
from fleet.updates.outcome import PullOutcome, Result, UpdateOutcome
from fleet.updates.owed import pay
from fleet.updates.own import OwnUpdate
from fleet.updates.plan import Action, HostPlan, plan
from fleet.updates.pull import PullProgress
from fleet.updates.restart import Restarts

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often work on one step of a command is begun. Only an end of the process, or what nobody foresaw, spends one."""
OWED_AGAIN_S = 60.0
"""How often a way back that failed is gone on with: a full disk has room again, or a name that was taken is free."""
OWN_POLL_S = 1.0
"""How often the outcome of the update of the agent's own container is looked for."""
STUCK, UNRECOVERED = "work-stuck", "not-recovered"


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
        self._records = Records(commands, journal, ways.put, clock)
        self._own = OwnWork(own, engine, self._records, ways.changed) if own else None
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
            if self._own is not None and not self._own.is_over():
                return OWN_POLL_S
            entry = self._commands.due()
            if entry is not None:
                self._engine.ping()
                # Whatever is logged on the way names the command, as the history does.
                with bound_contextvars(command=str(entry.id)):
                    self._carry_out(entry)
            owes = entry is None and pay(self._engine, self._journal, self._clock)
        except Stopped:
            return 0.0
        except EngineUnreachable as error:
            self._problems.raise_(ENGINE_AWAY, str(error))
            return self._failed("engine away, the work waits", error)
        except (FleetError, OSError) as error:
            self._problems.raise_(STUCK if self._recovered else UNRECOVERED, reason_of(error))
            return self._failed("work failed", error)
        self._went_well()
        if entry is not None:
            return 0.0
        return OWED_AGAIN_S if owes else float("inf")

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
            log.info("update taken up", extra=told(command, outcome))
            self._let_restart(outcome)
            self._records.end(command, outcome, record.pull if record else None, record.target if record else None)
        self._restarts.carry_out(self._engine)
        for error in self._journal.damaged_updates():
            raise error  # nobody knows whose container may be down: a person looks before more is touched
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
        for target in self._records.left(entry.id):
            key = pull_key(target)
            pull = self._pull(entry.id, target, key)
            if not pull.ok:
                reason = f"cannot update {target.container}: its image was not pulled: {pull.reason}"
                self._records.end(entry.id, machine.untouched(target, Result.FAILED, reason, pull=pull), pull, target)
        if self._commands.change(entry.id, partial(machine.pulled, now=self._clock.now())):
            self._ways.ready()

    def _pull(self, command: UUID, target: Target, key: str) -> PullOutcome:
        """Return what came of a pull: of an earlier one, or of one that is made now and written down."""
        entry = self._records.current(command)
        if key in entry.pulls:
            return entry.pulls[key]
        order = order_of(entry)
        outcome = self._pulls.pull(
            target.reference,
            target.digest,
            pull_id=order.pull_ids[key],
            platform=target.platform,
            policy=order.policy,
            progress=lambda made: self._ways.say(_pulling(command, target.container, made)),
            stop=lambda: self._unwanted(command),
            containers=[other.container for other in order.targets if pull_key(other) == key],
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
            for target in sorted(
                self._records.left(entry.id), key=lambda left: (self._is_own(left), place[left.update_id])
            ):
                if self.stopping():
                    raise Stopped
                if self._own is not None and self._own.is_of(target):
                    self._restarts.carry_out(self._engine)
                    self._own.hand_over(entry.id, target)
                    continue
                self._recreate(entry.id, target)
            self._restarts.carry_out(self._engine)
        finally:
            self._ways.changed()

    def _recreate(self, command: UUID, target: Target) -> None:
        entry = self._records.current(command)
        pull = entry.pulls[pull_key(target)]
        log.info("update begins", extra={"command": str(command), "container": target.container})
        outcome = recreate_target(
            self._engine,
            self._journal,
            target,
            order_of(entry).policy,
            pull,
            command_id=command,
            clock=self._clock,
            progress=lambda phase: self._ways.say(Progress(command=command, container=target.container, phase=phase)),
            siblings=self._records.siblings(command, target),
        )
        log.info("update ended", extra=told(command, outcome))
        self._let_restart(outcome)
        self._records.end(command, outcome, pull, target)

    def _is_own(self, target: Target) -> bool:
        return self._own is not None and self._own.is_of(target)

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
        planned = plan(order_of(entry), observe(self._engine, self._known, self._journal.images))
        for step in planned.steps:
            if step.action is Action.UPDATE or self._journal.update(step.target.update_id) is not None:
                continue
            result = Result.ALREADY_CURRENT if step.action is Action.ALREADY_CURRENT else Result.SKIPPED
            pull = entry.pulls.get(pull_key(step.target))
            self._records.end(
                entry.id, machine.untouched(step.target, result, step.reason, pull=pull), pull, step.target
            )
        return planned

    def _in_flight(self, entry: CommandEntry) -> bool:
        """Tell whether a container of *entry* may be down until its update is taken to its end."""
        begun = [each for each in self._journal.updates() if each.command == entry.id]
        return any(each.outcome is None and each.stage is not Stage.CREATE for each in begun)

    def _abandon(self, entry: CommandEntry) -> None:
        """End a command that ended this process, or failed in a way of its own, too often."""
        log.error("command abandoned", extra={"command": str(entry.id), "attempts": entry.attempts})
        for target in self._records.left(entry.id):
            reason = (
                f"cannot update {target.container}: the agent ended or failed {entry.attempts} times while it worked"
                " on this command; see its log on the host"
            )
            outcome = machine.untouched(target, Result.ABANDONED, reason)
            self._records.end(entry.id, outcome, None, target, keep=True)
        self._commands.change(entry.id, partial(machine.over, now=self._clock.now()))

    def _unwanted(self, command: UUID) -> bool:
        return self.stopping() or self._commands.wanted(command) is None

    def _failed(self, phrase: str, error: Exception) -> float:
        wait_s = self._backoff.next_s()
        log.warning(phrase, extra={"reason": reason_of(error), "again_in_s": round(wait_s, 1)})
        return wait_s

    def _went_well(self) -> None:
        self._backoff.reset()
        for code in (STUCK, UNRECOVERED):
            self._problems.clear(code)


def _pulling(command: UUID, container: str, made: PullProgress) -> Progress:
    return Progress(
        command=command,
        container=container,
        phase="pull",
        bytes=made.bytes,
        total=made.total or 0,
        mirror=made.source,
    )
