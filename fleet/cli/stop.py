"""``fleet freeze``, ``hold``, ``snooze``, ``skip`` and their ends: what shall not be updated for now."""

import functools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer, say
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.select import selecting
from fleet.cli.session import Leaf, Session, pass_session, trying
from fleet.cli.words import NOTHING, Duration, Moment, brief_moment, chosen, moment, read_pairs, short_digest, short_id
from fleet.errors import BadInput

if TYPE_CHECKING:
    from fleet.api.selectors import Selector
    from fleet.api.stops import Stop, Stops
    from fleet.client import Client

_COLUMNS = (
    Column("ID"),
    Column("KIND"),
    Column("WHAT"),
    Column("UNTIL", 1, brief=brief_moment),
    Column("BY", 2),
    Column("REASON", wraps=True, least=12),
)

_NAMED = click.argument("named", nargs=-1, metavar="[[HOST] CONTAINER]", shell_complete=completing.host_and_container)
_HOST_AND_CONTAINER = 2
_OF_CONTAINERS = ("hold", "snooze")
"""What is of no use while no container fits; a skip may come before what it is of."""

_ENDS = (
    click.option("-m", "--reason", default="", help="Why, for the others."),
    click.option("--until", type=Moment(), help="Until when: 2026-12-01T06:00Z."),
    click.option("--for", "during", type=Duration(some=True), help="How long: 8h, 3d."),
)


def _ending(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that say until when and why, and hand it ``more``."""

    @functools.wraps(command)
    def ended(*args: Any, reason: str, until: datetime | None, during: timedelta | None, **kwargs: Any) -> Any:
        for_ms = None if during is None else round(during.total_seconds() * 1000)
        return command(*args, more={"reason": reason, "ends_at": until, "for_ms": for_ms}, **kwargs)

    for option in reversed(_ENDS):
        ended = option(ended)
    return ended


@click.command(cls=Leaf)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="PATTERN",
    shell_complete=completing.hosts,
    help="Hosts by name; none: the whole fleet.",
)
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Hosts that have the label.")
@_ending
@trying
@pass_session
def freeze(session: Session, hosts: tuple[str, ...], labels: tuple[str, ...], more: dict[str, Any]) -> None:
    """Touch no container of the fleet, or of some hosts, until fleet unfreeze or a certain time.

    What is being recreated ends; whatever else is under way waits.
    """
    from fleet.api.selectors import Selector

    _create(session, "freeze", build(Selector, hosts=hosts, labels=read_pairs(labels)), more)


@click.command(cls=Leaf)
@click.argument("id", required=False)
@trying
@pass_session
def unfreeze(session: Session, id: str | None) -> None:
    """Lift the freeze ID; without it, the only one that there is."""
    with session.client() as client:
        _told(session, client.lift_stop(id or _only_freeze(client)).stop, lifted=True)


@click.command(cls=Leaf)
@_NAMED
@selecting
@_ending
@trying
@pass_session
def hold(session: Session, named: tuple[str, ...], selector: "Selector", more: dict[str, Any]) -> None:
    """Keep CONTAINER, on HOST or everywhere, or what the options choose, as it is until fleet unhold or a certain time."""
    _create(session, "hold", _with(selector, named), more)


@click.command(cls=Leaf)
@_NAMED
@selecting
@_ending
@trying
@pass_session
def snooze(session: Session, named: tuple[str, ...], selector: "Selector", more: dict[str, Any]) -> None:
    """Keep CONTAINER, on HOST or everywhere, or what the options choose, as it is for a while: --for 3d."""
    _create(session, "snooze", _with(selector, named), more)


@click.command(cls=Leaf)
@click.argument("image")
@_ending
@trying
@pass_session
def skip(session: Session, image: str, more: dict[str, Any]) -> None:
    """Never bring a container to IMAGE's digest: the one it names, else the one its tag was last seen to have.

    The next digest is welcome.
    """
    from fleet.api.selectors import Selector

    name, _, digest = image.partition("@")
    _create(session, "skip", build(Selector, images=(name,)), {**more, "digest": digest})


@click.command(cls=Leaf)
@click.argument("id")
@trying
@pass_session
def unhold(session: Session, id: str) -> None:
    """Lift the hold, snooze or skip ID."""
    with session.client() as client:
        _told(session, client.lift_stop(id).stop, lifted=True)


@click.command(cls=NamedListing)
@pass_session
def stops(session: Session) -> None:
    """List the freezes, holds, snoozes and skips that hold."""
    from fleet.api.stops import Stop

    with session.client() as client:
        answer = client.stops()
    if not print_answer(session, answer):
        none = "nothing is frozen, held, snoozed or skipped"
        print_items(session, _COLUMNS, answer.stops, _cells, none, fields=Stop, name=lambda s: s.id.hex)


def _cells(s: "Stop") -> tuple[str, ...]:
    return short_id(s.id), s.kind.value, _what(s), moment(s.ends_at), s.created_by, s.reason or NOTHING


def _create(session: Session, kind: str, selector: "Selector", more: dict[str, Any]) -> None:
    from fleet.api.stops import CreateStop

    with session.client() as client:
        stop = client.create_stop(build(CreateStop, kind=kind, selector=selector, **more)).stop
        _told(session, stop)
        if kind in _OF_CONTAINERS and not client.containers(selector).containers:
            say(f"no container fits it now; {_meant(selector)}see: fleet ps")


def _meant(selector: "Selector") -> str:
    """Return what was perhaps meant by a container that there is not: people call one by its image, too."""
    one = selector.containers[0] if len(selector.containers) == 1 and not selector.images else ""
    return f"of an image, say --image {one}; " if one else ""


def _with(selector: "Selector", named: Sequence[str]) -> "Selector":
    """Return *selector* with a container that was named alone, or behind its host as other commands have it."""
    if len(named) > _HOST_AND_CONTAINER:
        raise click.UsageError(f"Got unexpected extra argument ({named[_HOST_AND_CONTAINER]})")
    *hosts, container = named or ("",)
    if not container:
        return selector
    more = {"hosts": (*selector.hosts, *hosts), "containers": (*selector.containers, container)}
    return build(type(selector), **{**selector.model_dump(), **more})


def _only_freeze(client: "Client") -> str:
    found = [stop for stop in _all(client.stops()) if stop.kind.value == "freeze"]
    if len(found) != 1:
        names = "; ".join(f"{short_id(stop.id)} ({_what(stop)})" for stop in found)
        raise BadInput(
            f"cannot tell which freeze: name one of {names}" if found else "cannot unfreeze: nothing is frozen"
        )
    return found[0].id.hex


def _all(answer: "Stops") -> "tuple[Stop, ...]":
    return answer.stops


def _what(stop: "Stop") -> str:
    return (
        ", ".join(filter(None, (chosen(stop.selector), short_digest(stop.digest) if stop.digest else "")))
        or "the fleet"
    )


def _told(session: Session, stop: "Stop", *, lifted: bool = False) -> None:
    from fleet.api.stops import StopAnswer

    if print_answer(session, StopAnswer(stop=stop)):
        return
    until = f" until {moment(stop.ends_at)}" if stop.ends_at else ""
    ended = " lifted" if lifted else until
    click.echo(clean(f"{stop.kind.value} {short_id(stop.id)} of {_what(stop)}{ended}"))
    if not lifted:
        end = "unfreeze" if stop.kind.value == "freeze" else "unhold"
        click.echo(f"lift it with: fleet {end} {short_id(stop.id)}", err=True)
