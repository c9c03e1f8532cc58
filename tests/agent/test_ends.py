"""How an agent ends: what it has to say by then is said."""

import threading
import time
from pathlib import Path
from uuid import UUID

import pytest

from fleet.agent.agent import Agent, Tools
from fleet.agent.identity import Identity
from fleet.agent.speaker import Speaker
from fleet.clock import SystemClock
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.road.messages import Outcome
from fleet.road.versions import Message
from fleet.testing.engine import MemoryEngine
from fleet.updates.pull import Puller
from tests.agent.test_identity import join_file
from tests.agent.test_outbox import outcome


def agent_of(state: Path) -> Agent:
    """Make an agent over a pretended engine."""
    engine = MemoryEngine(SystemClock())
    tools = Tools(
        connect=lambda: engine,
        pulls=lambda engine, state, known, facts: Puller(
            engine,
            state=state,
            known=known,
            host_mirrors=facts.mirrors,
            credentials=NoCredentials(),
            clock=SystemClock(),
            port=0,
        ),
        credentials=NoCredentials(),
        read_mirrors=lambda facts: HostMirrors(),
        clock=SystemClock(),
    )
    return Agent(Identity(state, join_file()), state, tools)


def test_an_outcome_that_came_while_the_last_messages_were_being_sent_is_sent_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step under way has looked for outcomes before this one came."""
    sending, go_on, said = threading.Event(), threading.Event(), list[Message]()

    def say(speaker: Speaker, message: Message, id: UUID | None) -> None:
        said.append(message)
        sending.set()
        assert go_on.wait(60)

    monkeypatch.setattr(Speaker, "say", say)
    monkeypatch.setattr("fleet.agent.agent.lets_in", lambda address: False)
    agent = agent_of(tmp_path)
    agent.start()
    agent.reading()
    assert sending.wait(60)
    agent._courier.put(outcome())
    ending = threading.Thread(target=agent.stop)
    ending.start()
    while not agent._courier_loop.stopping:
        time.sleep(0.01)
    go_on.set()
    ending.join(60)
    assert [message for message in said if isinstance(message, Outcome)] == [outcome()]
