"""``fleet receiver``: where registries say that something was pushed, so that it is checked at once."""

from operator import attrgetter
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer, say
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.sure import be_sure, unasked
from fleet.cli.words import ago, moment

if TYPE_CHECKING:
    from fleet.api.receivers import Receiver

_COLUMNS = (
    Column("NAME"),
    Column("PATH"),
    Column("REGISTRY", 2),
    Column("USED", 0, by=attrgetter("last_used_at")),
    Column("HEARD LAST", 1),
    Column("BY", 3),
    Column("MADE", 3),
)


@click.group(cls=Branch)
def receiver() -> None:
    """Let registries say what was pushed: it is checked some seconds later, and updated as schedules and policies say."""


@receiver.command("add")
@click.argument("name")
@click.option(
    "--registry",
    default="",
    metavar="HOST[:PORT]",
    help="The registry that it speaks of, as hosts name it; by default the one that each message names.",
)
@pass_session
def add(session: Session, name: str, registry: str) -> None:
    """Add a receiver; its secret is printed this one time."""
    from fleet.api.receivers import AddReceiver

    with session.client() as client:
        answer = client.add_receiver(build(AddReceiver, name=name, registry=registry))
        server = client.address
    if print_answer(session, answer):
        return
    base = "https://SERVER:PORT" if server.socket else str(server)
    url = f"{base}{answer.receiver.path}"
    click.echo(f"url     {url}")
    click.echo(f"secret  {answer.secret}")
    say("give both to the registry: as the secret that it signs with, or as its header Authorization")
    say(f"one that can do neither takes {url}?secret=SECRET as its URL")


@receiver.command("ls", cls=NamedListing)
@pass_session
def ls(session: Session) -> None:
    """List the receivers, without their secrets, with what each heard last."""
    from fleet.api.receivers import Receiver

    with session.client() as client:
        answer = client.receivers()
    if print_answer(session, answer):
        return
    none = "no receivers; add one with: fleet receiver add NAME"
    print_items(session, _COLUMNS, answer.receivers, _cells, none, fields=Receiver, name=lambda r: r.name)


def _cells(r: "Receiver") -> tuple[str, ...]:
    return (
        r.name,
        r.path,
        r.registry or "any",
        ago(r.last_used_at),
        r.last_heard,
        r.created_by,
        moment(r.created_at),
    )


@receiver.command("rm")
@click.argument("name", shell_complete=completing.receivers)
@unasked
@pass_session
def rm(session: Session, name: str, yes: bool) -> None:
    """Remove a receiver: who speaks to it is refused from now on. Asks first at a terminal."""
    be_sure(session, f"remove the receiver {clean(name)}", yes)
    with session.client() as client:
        answer = client.remove_receiver(name)
    if not print_answer(session, answer):
        click.echo(f"receiver {name} removed")
