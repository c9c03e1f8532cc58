"""A real agent process over a pretended engine, started by tests: ``python driver.py JOIN STATE ENGINE DEATH``.

Where the file DEATH names a write of the journal (``update:stop``) or a step of first contact (``identity:take``), the
process kills itself right after it.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from fleet.agent import agent as agent_module
from fleet.agent import rekeying, speaker
from fleet.agent.agent import Agent, Tools
from fleet.agent.facts import Facts
from fleet.agent.identity import Identity
from fleet.agent.process import serve
from fleet.agent.speaker import Speaker
from fleet.clock import SystemClock
from fleet.engine.protocol import Engine
from fleet.errors import FleetError
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.road import app
from fleet.road.join import JoinFile
from fleet.road.messages import Heartbeat, Rekey
from fleet.road.versions import Message
from fleet.settings import logs
from fleet.updates.journal import Journal
from fleet.updates.known import KnownDigests
from fleet.updates.pull import Puller
from tests.agent.engine_server import RemoteEngine


def first_contact(die: Callable[[str], None]) -> None:
    """Let *die* be called after each step of first contact: written, asked, let in, taken, used, and heard."""
    for owner, name in (
        (Identity, "follow"),
        (rekeying, "_request"),
        (agent_module, "lets_in"),
        (Identity, "take"),
        (Agent, "_use"),
    ):
        setattr(owner, name, _dying(getattr(owner, name), f"identity:{name}", die))
    said = Speaker.say

    def say(self: Speaker, message: Message, id: UUID | None) -> None:
        said(self, message, id)
        if isinstance(message, Rekey):
            die("identity:asked")
        elif isinstance(message, Heartbeat) and self._join.key.kid != first:
            die("identity:heard")

    first = JoinFile.read(Path(sys.argv[1])).key.kid
    Speaker.say = say  # type: ignore[method-assign]


def _dying(step: Callable[..., Any], name: str, die: Callable[[str], None]) -> Callable[..., Any]:
    def stepping(*arguments: Any, **more: Any) -> Any:
        done = step(*arguments, **more)
        if done is not False:
            die(name)
        return done

    return stepping


def main(join: str, state: str, engine: str, death: str) -> int:
    """Be an agent until SIGTERM; a login that is refused is told soon, and an idle stop waits for no long read."""
    speaker.REFUSED_S = 3.0
    app.POLL_S = 1
    logs.set_up("agent")
    fatal = Path(death)

    def die(write: str) -> None:
        if fatal.exists() and fatal.read_text() == write:
            fatal.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    first_contact(die)

    def pulls(engine: Engine, state: Path, known: KnownDigests, facts: Facts) -> Puller:
        return Puller(
            engine,
            state=state,
            known=known,
            host_mirrors=facts.mirrors,
            credentials=NoCredentials(),
            clock=SystemClock(),
            port=0,
        )

    tools = Tools(
        connect=lambda: RemoteEngine(engine),
        pulls=pulls,
        credentials=NoCredentials(),
        read_mirrors=lambda facts: HostMirrors(),
        clock=SystemClock(),
        journal=lambda path: Journal(path, after_write=die),
        heartbeat_s=0.5,
    )
    try:
        serve(JoinFile.read(Path(join)), Path(state), tools)
    except FleetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
