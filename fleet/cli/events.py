"""``fleet events``: what happens, as it happens."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from fleet.cli.console import clean, paint, print_answer, say
from fleet.cli.listing import print_one
from fleet.cli.select import selecting
from fleet.cli.session import JSON, JSONL, TABLE, YAML, Leaf, Session, pass_session
from fleet.cli.words import Moment
from fleet.errors import BadInput, Unreachable

if TYPE_CHECKING:
    from fleet.api.selectors import Selector
    from fleet.client.following import Followed

BEFORE = timedelta(days=1)
"""How far back it is told what happened, where nobody says since when and nobody follows."""
LONGEST_WAIT_S = 30.0
"""The longest wait before a server that is away is asked again; it begins at one second and doubles."""


class Following(Leaf):
    """A leaf that prints line by line."""

    forms = (TABLE, JSON, JSONL, YAML)


@click.command("events", cls=Following)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option(
    "--since", type=Moment(), help="From then on: 2h (ago), 2026-11-25, or RFC 3339; by default a day ago, or now."
)
@click.option("--after", metavar="NUMBER", default="", help="Behind the event of this number, as -o json prints it.")
@click.option(
    "--event", "events", multiple=True, metavar="GLOB", help="Of these types or conditions: 'update.*', mirror-down."
)
@click.option("--severity", type=click.Choice(["info", "warning", "error"]), help="The least urgent.")
@click.option("--rollout", metavar="NUMBER", default="", help="Of this rollout alone.")
@selecting
@pass_session
def events(
    session: Session,
    follow: bool,
    since: datetime | None,
    after: str,
    events: tuple[str, ...],
    severity: str | None,
    rollout: str,
    selector: "Selector",
) -> None:
    """Tell what happened, or follow what happens; each event once, in one order, however often the connection is cut.

    These are the events that channels are told of. Conditions, and each update that went well, are among them from when somebody first
    follows, or a channel wants them, until a day after.
    """
    if follow and session.output == YAML:
        raise BadInput("cannot follow events as yaml, which has an end; choose -o jsonl")
    if follow and session.output == JSON:
        session.output = JSONL  # a document has an end
    if after and since:
        raise BadInput("cannot begin at two places; give --since or --after")
    if since is None and not after and not follow:
        since = datetime.now(UTC) - BEFORE
    query: list[tuple[str, Any]] = [("event", each) for each in events]
    query += [("severity", severity)] if severity else []
    query += [("rollout", rollout.lstrip("#"))] if rollout else []
    query += [] if follow else [("follow", "false")]
    with session.client() as client:
        begin = partial(client.events, query, selector)
        found = _followed(begin, since, after) if follow else _once(begin, since, after)
        _print(session, found, follow=follow)


def _begin(since: datetime | None, after: str) -> dict[str, Any]:
    """Return how a stream is asked for that begins there."""
    return {"after": after} if after or since is None else {"since": since}


def _once(begin: Callable[..., "Iterator[Followed]"], since: datetime | None, after: str) -> "Iterator[Followed]":
    """Yield what happened, to the last event that there is."""
    yield from begin(**_begin(since, after))


def _followed(begin: Callable[..., "Iterator[Followed]"], since: datetime | None, after: str) -> "Iterator[Followed]":
    """Yield what happens; where the stream is cut, it goes on behind what came last."""
    wait, was_there, told = 0.0, False, ""
    while True:
        try:
            for each in begin(**_begin(since, after)):
                after, wait, was_there, told = each.id or after, 0.0, True, ""
                yield each
            was_there = True
        except Unreachable as error:
            if not was_there:
                raise
            if str(error) != told:  # it may stay so for hours
                told = str(error)
                say(f"{told}; it is asked again until it is there")
        wait = min(LONGEST_WAIT_S, 2 * wait or 1.0)
        time.sleep(wait)


def _print(session: Session, found: "Iterator[Followed]", *, follow: bool) -> None:
    whole: list[dict[str, Any]] = []
    for each in found:
        if each.lost is not None:
            say(
                f"events behind number {each.lost.after} are not kept any more; it goes on with number {each.lost.oldest}"
            )
        elif each.event is not None:
            document = {"number": int(each.id), **each.event}
            if session.output == TABLE:
                _line(session, each.event)
            elif not print_one(session, document):
                whole.append(document)
    if session.json:
        from fleet.api.events import Events

        print_answer(session, Events(events=tuple(whole)))


def _line(session: Session, event: dict[str, Any]) -> None:
    """Print ``2026-11-27 14:01:22Z  error    update.failed  web-1/app: update failed``."""
    at = str(event.get("time", ""))[:19].replace("T", " ")
    severity = str(event.get("severity", ""))
    kind = str(event.get("type", "")).removeprefix("fleet.")
    told = clean(f"{kind:<26}  {_title(event)}")
    click.echo(f"{at}Z  {paint(session, severity, f'{severity:<7}')}  {told}")


def _title(event: dict[str, Any]) -> str:
    """Return what happened, in words; what a newer server tells of by its subject."""
    from fleet.notify.events import read
    from fleet.notify.text import title

    try:
        told = read(event)
        reason = str(told.data.get("reason") or told.data.get("text") or "")
        return f"{title(told)}{f': {reason}' if reason else ''}"
    except (KeyError, ValueError):
        return str(event.get("subject", ""))
