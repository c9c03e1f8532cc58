"""Following a rollout to its end: until then it is shown how far each host is, then what came of each container."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from fleet.cli.console import Column, print_json, print_table, say
from fleet.cli.session import Session
from fleet.cli.tree import refusals
from fleet.cli.words import Duration, brief_change, came_to, change, place_of, seconds, short_id
from fleet.errors import FleetError, TimedOut
from fleet.rollouts.states import WAITING

if TYPE_CHECKING:
    from fleet.api.history import OutcomeRow
    from fleet.api.rollouts import Rollout, RolloutAnswer
    from fleet.client import Client

LOOK_S = 1.0
"""Seconds between two looks; hosts tell of their progress once a second at most."""
PATIENCE = 30
"""How often in a row the server may be away before the watch gives up; the rollout goes on all the same."""
NEWEST = 50
"""Among how many of the latest rollouts a way back is looked for that is being made."""
SOME_FAILED = 3
REFUSED = 6
INTERRUPTED = 130

_RESULTS = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("RESULT"),
    Column("DIGEST", 1, least=12, brief=brief_change),
    Column("MIRROR", 1, least=12, brief=place_of),
    Column("DOWN", 2, right=True),
    Column("ID", 0),
    Column("REASON", 3),
)


def waiting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options of every command that waits."""
    command = click.option("--timeout", type=Duration(), help="Stop waiting after this time, such as 30m.")(command)
    return click.option("-d", "--detach", is_flag=True, help="Do not wait.")(command)


def follow(session: Session, client: "Client", id: str, timeout: timedelta | None) -> int:
    """Show the rollout until it ends, or waits for a person or a freeze; return the exit code.

    Ctrl-C ends the watch alone, and says so.
    """
    number = client.rollout(id).rollout.number
    try:
        answer = _watch(session, client, number, timeout)
    except KeyboardInterrupt:
        say(f"detached: rollout #{number} goes on; stop it with: fleet rollout abort {number}")
        return INTERRUPTED
    outcomes = _outcomes(client, answer)
    if answer.rollout.ended_at is None:
        return _told_held(session, answer)
    if session.json:
        print_json({**answer.document(), "outcomes": [o.model_dump(mode="json") for o in outcomes]})
    else:
        _show_end(session, answer, outcomes)
    return 0 if answer.rollout.state == "completed" else SOME_FAILED


def follow_back(session: Session, client: "Client", id: str, way_back: UUID | None, timeout: timedelta | None) -> int:
    """Follow the way back of rollout *id*; where it was not made yet, wait until what is live has ended. Return the exit code."""
    ends = time.monotonic() + timeout.total_seconds() if timeout else None
    try:
        while way_back is None:
            undone = client.rollout(id).rollout
            way_back = next((r.id for r in client.rollouts(limit=NEWEST).rollouts if r.way_back_of == undone.id), None)
            if way_back is None and undone.ended_at is not None:
                click.echo(f"rollout #{undone.number} {undone.state.words}: it had updated nothing")
                return 0
            _check_time(ends, undone.number)
            time.sleep(0 if way_back else LOOK_S)
    except KeyboardInterrupt:
        say("detached: it goes back all the same; see: fleet rollout ls")
        return INTERRUPTED
    return follow(session, client, way_back.hex, None if ends is None else timedelta(seconds=ends - time.monotonic()))


def _check_time(ends: float | None, number: int) -> None:
    """Raise TimedOut where the time of a watch is over."""
    if ends is not None and time.monotonic() >= ends:
        raise TimedOut(
            f"cannot wait any longer: rollout #{number} goes on; watch it with: fleet rollout watch {number}"
        )


def _watch(session: Session, client: "Client", number: int, timeout: timedelta | None) -> "RolloutAnswer":
    ends = time.monotonic() + timeout.total_seconds() if timeout else None
    away = 0
    with _screen(session) as screen:
        while True:
            try:
                answer = client.rollout(str(number))
                away = 0
                screen.show(answer)
            except FleetError as e:
                away += 1
                if not e.temporary or away > PATIENCE:
                    raise
                screen.note(str(e))
            else:
                if answer.rollout.ended_at is not None or waits(answer):
                    return answer
            _check_time(ends, number)
            time.sleep(LOOK_S)


def waits(answer: "RolloutAnswer") -> str:
    """Return why nothing of the rollout goes on until a person does something or a freeze ends; empty: it goes on."""
    if any(host.state.live for host in answer.hosts):
        return ""
    held = ", ".join(hold.words for hold in answer.rollout.holds)
    if held:
        return f"held: {held}"
    waiting = [host for host in answer.hosts if host.state in WAITING]
    refused = waiting and all(host.refused for host in waiting)
    return "; ".join(refusals(answer)) if refused else answer.frozen


def answers_to(rollout: "Rollout") -> list[str]:
    """Return what a person may say to each hold of *rollout*, with the command."""
    return [answer for hold in rollout.holds if (answer := hold.answer(rollout.number))]


def _told_held(session: Session, answer: "RolloutAnswer") -> int:
    number = answer.rollout.number
    if session.json:
        print_json(answer.document())
    remedies = "; ".join(answers_to(answer.rollout)) or f"see: fleet rollout show {number}"
    say(f"rollout #{number} waits, {waits(answer)}; it is not over; {remedies}")
    return REFUSED


def _screen(session: Session) -> AbstractContextManager[Any]:
    if sys.stderr.isatty() and not session.json:
        from fleet.cli.screen import LiveScreen

        return LiveScreen(session)
    from fleet.cli.screen import PlainScreen

    return PlainScreen()


def _outcomes(client: "Client", answer: "RolloutAnswer") -> "list[OutcomeRow]":
    from fleet.api.history import LARGEST_PAGE, HistoryQuery

    query = HistoryQuery(rollout=answer.rollout.id.hex, limit=LARGEST_PAGE)
    rows = [row for page in client.history_pages(query) for row in page.outcomes]
    return sorted(rows, key=lambda row: (row.host, row.container, row.recorded_at))


def _show_end(session: Session, answer: "RolloutAnswer", outcomes: "list[OutcomeRow]") -> None:
    rows = [
        (
            o.host,
            o.container,
            came_to(o.result.value, o.back),
            change(o.old_digest, o.new_digest),
            o.mirror or "-",
            seconds(o.downtime_ms),
            short_id(o.id),
            o.reason or "-",
        )
        for o in outcomes
    ]
    print_table(session, _RESULTS, rows, "no container was touched")
    told = {row.host for row in outcomes}
    for host in answer.hosts:
        if host.reason and host.host not in told:
            say(f"{host.host} {host.state.value}: {host.reason}")
    for o in outcomes:
        if o.result in ("failed", "rolled_back", "rollback_failed", "abandoned"):
            say(
                f"{o.host} {o.container}: {o.reason or came_to(o.result.value, o.back)}; see: fleet history show {short_id(o.id)}"
            )
    click.echo(f"rollout #{answer.rollout.number} {answer.rollout.state.words}")
