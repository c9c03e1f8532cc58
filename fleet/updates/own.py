"""The agent's own container: updated last, by the same steps, from a stand-in container that outlives both of them.

Who replaces itself stops in the middle. So the order is written down, a second container is started from the agent's
present image and with its mounts, and that one takes the steps; the agent, the old or the new one, finds the outcome.
"""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from fleet.clock import Clock
from fleet.engine.protocol import CreateSpec, Engine, Inspect
from fleet.engine.spec import new_spec
from fleet.errors import EngineError, EngineUnreachable, Refused
from fleet.updates.command import Policy, Target
from fleet.updates.execute import recreate_target
from fleet.updates.files import write_atomically
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, UpdateOutcome
from fleet.updates.run import NO_RESTART

STAND_IN_LABEL = "fleet.stand-in"
"""Holds the id of the update for which the container is there."""
ALWAYS = {"Name": "always", "MaximumRetryCount": 0}
"""The stand-in's restart policy until it has come to an end: whatever kills it, the engine starts it again."""
MODULE = "fleet.agent.replacing"
MOST_RESTARTS = 5
"""How often the engine may start a stand-in again that has not begun, before the update is given up."""
AGAIN_S = 2.0
"""The pause before an engine that is away is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOrder:
    """What is to be done about the agent's own container."""

    command: UUID
    target: Target
    policy: Policy
    pull: PullOutcome


_ORDER = TypeAdapter(OwnOrder)


class OwnUpdate:
    """The update of the agent's own container, as far as it is written down in the agent's state."""

    def __init__(self, state: Path, own_id: str, program: Sequence[str] = (sys.executable, "-m", MODULE)) -> None:
        """Keep what is written down in *state*; *own_id* is the agent's container, empty where it runs in none.

        *program* is what the stand-in runs, before the folder and the engine's address.
        """
        self._state, self._own_id, self._program = state, own_id, tuple(program)
        self.folder = state / "own"

    def is_of(self, target: Target) -> bool:
        """Tell whether *target* is the agent's own container."""
        return bool(self._own_id) and target.container_id == self._own_id

    def pending(self) -> OwnOrder | None:
        """Return the order that is under way, or whose outcome was not taken over yet."""
        return _read_order(self.folder)

    def outcome(self, order: OwnOrder) -> UpdateOutcome | None:
        """Return what came of it; None while it goes on."""
        entry = self._stand_ins_journal().update(order.target.update_id)
        return entry.outcome if entry else None

    def hopeless(self, engine: Engine, order: OwnOrder) -> str:
        """Return why the update will never begin, or empty; once it was begun, only the stand-in may end it."""
        if self._stand_ins_journal().update(order.target.update_id) is not None:
            return ""
        found = engine.inspect(stand_in_name(order))
        if found is None or found.get("RestartCount", 0) < MOST_RESTARTS:
            return ""
        code = found["State"].get("ExitCode")
        return f"cannot update {order.target.container}: its stand-in ends with code {code} whenever it is started"

    def hand_over(self, engine: Engine, order: OwnOrder) -> None:
        """Write *order* down and start the stand-in; raise EngineError, EngineUnreachable or Refused where that fails."""
        own = engine.inspect(self._own_id)
        if own is None:
            raise Refused(f"cannot update {order.target.container}: the engine does not know the agent's own container")
        if not _holds(own, self._state):
            raise Refused(
                f"cannot update {order.target.container}: the agent's state {self._state} is in no volume, so that nobody"
                " could go on with it"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = engine.image(own["Image"]) or Journal(self._state / "journal", writer=False).images.get(own["Image"])
        if known:
            self._stand_ins_journal().images.put(known)
        write_atomically(self.folder / "order.json", _ORDER.dump_json(order))
        self.see_to_stand_in(engine, order)

    def see_to_stand_in(self, engine: Engine, order: OwnOrder) -> None:
        """See that the stand-in runs, made anew where it is gone; may be taken any number of times."""
        name = stand_in_name(order)
        found = engine.inspect(name)
        if found is not None and (found["Config"].get("Labels") or {}).get(STAND_IN_LABEL) != str(
            order.target.update_id
        ):
            engine.remove(found["Id"], force=True)
            found = None
        if found is None:
            own = engine.inspect(self._own_id)
            if own is None:
                raise EngineError(f"cannot go on with {order.target.container}: the agent's own container is not known")
            engine.start(engine.create(self._stand_in(engine, own, order)))
        elif not found["State"].get("Running"):
            engine.start(found["Id"])

    def forget(self, engine: Engine, order: OwnOrder) -> None:
        """Forget *order*, whose outcome is safe elsewhere, and remove the stand-in."""
        with suppress(EngineError):
            engine.remove(stand_in_name(order), force=True)
        # The order goes first: what is left in the journal says nothing without it.
        (self.folder / "order.json").unlink(missing_ok=True)
        self._stand_ins_journal().forget(order.target.update_id)

    def _stand_ins_journal(self) -> Journal:
        """Return the journal that the stand-in writes, at this moment perhaps."""
        return Journal(self.folder / "journal", writer=False)

    def _stand_in(self, engine: Engine, own: Inspect, order: OwnOrder) -> CreateSpec:
        """Return what makes the stand-in: the agent as it is, with its mounts, its user and its rights, and another program."""
        facts, url = engine.facts(), str(getattr(engine, "url", ""))
        present = engine.image(own["Image"])
        # Some image stores lose an image whose name has moved: then the new one must do.
        image = str(own["Image"]) if present else order.pull.image_id
        spec = new_spec(
            own,
            present or {},
            name=stand_in_name(order),
            image=image,
            image_id=image,
            api_version=facts.api_version,
            engine_name=facts.name,
        )
        local = url.startswith("unix:") and own["HostConfig"].get("NetworkMode") != "host"
        host: dict[str, Any] = {**spec.body["HostConfig"], "RestartPolicy": ALWAYS, "AutoRemove": False}
        host |= {"PortBindings": {}, "Links": None} | ({"NetworkMode": "none"} if local else {})
        left_out = ("NetworkingConfig", "Hostname", "MacAddress", "ExposedPorts")
        body: dict[str, Any] = {key: value for key, value in spec.body.items() if key not in left_out}
        body |= {
            "Entrypoint": [self._program[0]],
            "Cmd": [*self._program[1:], str(self.folder), url],
            "Healthcheck": {"Test": ["NONE"]},
            "Labels": {"fleet.ignore": "true", STAND_IN_LABEL: str(order.target.update_id)},
            "HostConfig": host,
        }
        return CreateSpec(name=spec.name, body=body)


def carry_out(engine: Engine, folder: Path, clock: Clock, *, journal: Callable[[Path], Journal] = Journal) -> None:
    """Take the order in *folder* to its end, as the stand-in does, whatever an earlier one of it began; then stay ended."""
    with _alone(folder):
        order = _read_order(folder)
        while order is not None:
            try:
                _take(engine, journal(folder / "journal"), order, clock)
                with suppress(EngineError):
                    engine.set_restart_policy(stand_in_name(order), NO_RESTART)
                return
            except EngineUnreachable:
                clock.sleep(AGAIN_S)


def stand_in_name(order: OwnOrder) -> str:
    """Return the name of the stand-in."""
    return f"{order.target.container}.fleet-stand-in"


def _take(engine: Engine, journal: Journal, order: OwnOrder, clock: Clock) -> None:
    recreate_target(engine, journal, order.target, order.policy, order.pull, command_id=order.command, clock=clock)


def _read_order(folder: Path) -> OwnOrder | None:
    """Return the order in *folder*, None where there is none, or a damaged one, with which nobody can begin."""
    try:
        return _ORDER.validate_json((folder / "order.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second stand-in out until this one has ended."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _holds(own: Inspect, state: Path) -> bool:
    """Tell whether *state* lies in something that is mounted into the container for writing."""
    places = [PurePosixPath(str(m["Destination"])) for m in own.get("Mounts") or () if m.get("RW", True)]
    wanted = PurePosixPath(state)
    return any(place == wanted or place in wanted.parents for place in places)
