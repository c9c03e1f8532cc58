"""The update of the agent's own container, seen from the command that ordered it: handed over, and taken over again."""

import logging
from collections.abc import Callable
from uuid import UUID

from fleet.agent import machine
from fleet.agent.records import Records, Stopped, order_of, reason_of, told
from fleet.engine.protocol import Engine
from fleet.errors import EngineError, Refused
from fleet.updates.command import Target, pull_key
from fleet.updates.outcome import Result
from fleet.updates.own import OwnOrder, OwnUpdate

log = logging.getLogger(__name__)


class OwnWork:
    """Has the stand-in update the agent's own container, and ends the target by what came of it."""

    def __init__(self, own: OwnUpdate, engine: Engine, records: Records, changed: Callable[[], None]) -> None:
        """Prepare; *changed* is told when the container has been touched."""
        self._own, self._engine, self._records, self._changed = own, engine, records, changed

    def is_of(self, target: Target) -> bool:
        """Tell whether *target* is the agent's own container."""
        return self._own.is_of(target)

    def hand_over(self, command: UUID, target: Target) -> None:
        """Have the stand-in update this agent's own container; raise Stopped: the rest is found when that has ended."""
        entry = self._records.current(command)
        pull = entry.pulls[pull_key(target)]
        order = OwnOrder(command=command, target=target, policy=order_of(entry).policy, pull=pull)
        try:
            self._own.hand_over(self._engine, order)
        except (EngineError, Refused) as error:
            self._own.forget(self._engine, order)
            self._records.end(
                command, machine.untouched(target, Result.FAILED, reason_of(error), pull=pull), pull, target
            )
            return
        log.info("own update handed over", extra={"command": str(command), "container": target.container})
        raise Stopped

    def is_over(self) -> bool:
        """Take over what came of the update of this agent's own container; tell whether none is under way."""
        order = self._own.pending()
        if order is None:
            return True
        outcome = self._own.outcome(order)
        if outcome is None and (hopeless := self._own.hopeless(self._engine, order)):
            outcome = machine.untouched(order.target, Result.FAILED, hopeless, pull=order.pull)
        if outcome is None:
            self._own.see_to_stand_in(self._engine, order)
            return False
        log.info("own update ended", extra=told(order.command, outcome))
        self._records.end(order.command, outcome, order.pull, order.target)
        self._own.forget(self._engine, order)
        self._changed()
        return True
