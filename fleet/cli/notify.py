"""``fleet notify``: where people are told what happened, and what came of telling them."""

import time
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.channel_options import HOURS, LINKS, PASSES, hours_of, text_of, wording
from fleet.cli.console import Column, clean, print_answer, say, working
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.select import selecting
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.sure import be_sure, unasked
from fleet.cli.words import NOTHING, ago, chosen, moment
from fleet.errors import BadInput, TimedOut

if TYPE_CHECKING:
    from fleet.api.notify import Channel, ChannelAnswer, Delivery
    from fleet.api.selectors import Selector
    from fleet.client import Client

_COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("KIND", 1),
    Column("ADDRESS", 1),
    Column("WAITING", right=True),
    Column("GIVEN UP", 1, right=True),
    Column("SENT", 1, by=attrgetter("sent_at")),
    Column("REASON", 2),
    Column("EVENTS", 4),
    Column("FROM", 3),
    Column("OF", 3),
)
TEST_S = 60.0
"""The most seconds that a test is waited for: a mail server is slow."""
_LOOK_S = 0.5
GIVEN_UP, SENT = "given_up", "sent"


@click.group(cls=Branch)
def notify() -> None:
    """Say where people are told of failures, rollouts and conditions, and see what came of it."""


@notify.command("ls", cls=NamedListing)
@pass_session
def ls(session: Session) -> None:
    """List the channels, and how each does."""
    from fleet.api.notify import Channel

    with session.client() as client:
        answer = client.channels()
    if print_answer(session, answer):
        return
    none = "no channels; add one with: fleet notify add NAME URL"
    print_items(session, _COLUMNS, answer.channels, _cells, none, fields=Channel, name=lambda c: c.name)


def _cells(c: "Channel") -> tuple[str, ...]:
    return (
        c.name,
        c.state,
        c.kind.value,
        c.address,
        str(c.waiting),
        str(c.given_up),
        ago(c.sent_at),
        c.reason or NOTHING,
        ", ".join(c.events),
        c.severity.value,
        chosen(c.selector) or "all",
    )


@notify.command("add")
@click.argument("name")
@click.argument("url", required=False, default="")
@click.option(
    "--url-file", metavar="FILE", help="A file with the URL, which stands in no list of processes then; - for stdin."
)
@click.option("--secret-file", metavar="FILE", help="A file with the secret of a webhook; by default one is made.")
@click.option("--event", "events", multiple=True, metavar="PATTERN",
              help="update.failed, 'rollout.*', 'mirror-*'; by default all but updates that went well.")  # fmt: skip
@click.option("--severity", type=click.Choice(["info", "warning", "error"]), default="info", show_default=True,
              help="The least urgent that it gets.")  # fmt: skip
@HOURS
@PASSES
@LINKS
@wording
@selecting
@pass_session
def add(
    session: Session,
    name: str,
    url: str,
    url_file: str | None,
    secret_file: str | None,
    events: tuple[str, ...],
    severity: str,
    quiet: tuple[str, ...],
    quiet_passes: str | None,
    links: bool | None,
    words: dict[str, str],
    selector: "Selector",
) -> None:
    """Tell URL what happens: https://... is a webhook, any other scheme one of Apprise's services (ntfys://, mailtos://).

    The secret that a webhook proves its events by is printed this one time.
    """
    from fleet.api.notify import AddChannel

    if bool(url) == bool(url_file):
        raise BadInput("cannot add a channel without one URL; give it after the name, or its file with --url-file")
    more: dict[str, object] = {"events": events} if events else {}
    more |= {"secret": text_of(secret_file)} if secret_file else {}
    more |= {"quiet": hours_of(quiet)} if quiet else {}
    more |= words
    more |= {"links": True} if links else {}
    more |= {"quiet_passes": quiet_passes} if quiet_passes else {}
    wanted = url or text_of(url_file or "")
    request = build(AddChannel, name=name, url=wanted, severity=severity, selector=selector, **more)
    with session.client() as client:
        answer = client.add_channel(request)
    if print_answer(session, answer):
        return
    if answer.secret:
        click.echo(answer.secret)
        say("the line above is the secret that its events are signed with; it is shown this one time")
    say(clean(f"channel {name} added; see whether it works with: fleet notify test {name}"))


@notify.command("edit")
@click.argument("name", shell_complete=completing.channels)
@click.option("--event", "events", multiple=True, metavar="PATTERN", help="What it gets, in place of all that it got.")
@click.option("--severity", type=click.Choice(["info", "warning", "error"]), help="The least urgent that it gets.")
@HOURS
@PASSES
@click.option("--no-quiet", is_flag=True, help="No quiet hours any more; what waits for their end is told.")
@click.option("--everything", is_flag=True, help="Of every host, container and image.")
@click.option("--no-template", is_flag=True, help="The usual words again.")
@LINKS
@wording
@selecting
@pass_session
def edit(
    session: Session,
    name: str,
    events: tuple[str, ...],
    severity: str | None,
    quiet: tuple[str, ...],
    quiet_passes: str | None,
    no_quiet: bool,
    everything: bool,
    no_template: bool,
    links: bool | None,
    words: dict[str, str],
    selector: "Selector",
) -> None:
    """Change what is given of channel NAME, and leave the rest. Options that choose replace all of their kind."""
    from fleet.api.notify import ChangeChannel

    chooses = bool(selector.document())
    if (no_quiet and quiet) or (everything and chooses) or (no_template and words):
        raise BadInput("cannot both take something away and give it; leave out one of the two options")
    change: dict[str, object] = {"events": events} if events else {}
    change |= {"severity": severity} if severity else {}
    change |= {"quiet": hours_of(quiet)} if quiet or no_quiet else {}
    change |= {"quiet_passes": quiet_passes} if quiet_passes else {}
    change |= {"selector": selector} if chooses or everything else {}
    change |= {"title_template": "", "body_template": ""} if no_template else words
    change |= {} if links is None else {"links": links}
    if not change:
        raise BadInput("cannot edit a channel without a change; see: fleet notify edit --help")
    with session.client() as client:
        answer = client.change_channel(name, build(ChangeChannel, **change))
    if not print_answer(session, answer):
        _show_channel(answer.channel)


@notify.command("show")
@click.argument("name", shell_complete=completing.channels)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many deliveries.")
@pass_session
def show(session: Session, name: str, limit: int) -> None:
    """Show a channel, and what came of the newest events that it was to be told."""
    with session.client() as client:
        answer = client.channel(name, limit=limit)
    if not print_answer(session, answer):
        _show(answer)


def _show(answer: "ChannelAnswer") -> None:
    _show_channel(answer.channel)
    for each in answer.deliveries:
        click.echo(clean(f"  {_line(each)}"))


def _show_channel(c: "Channel") -> None:
    click.echo(clean(f"channel {c.name}: {c.kind} to {c.address}, {c.state}"))
    click.echo(clean(f"  gets {', '.join(c.events)}, {c.severity} and worse, of {chosen(c.selector) or 'all'}"))
    if c.quiet:
        now = f"; quiet now, until {moment(c.quiet_until)}" if c.quiet_until else ""
        click.echo(clean(f"  {c.quiet_said}{now}"))
    if c.title_template or c.body_template:
        click.echo(clean(f"  speaks in words of its own, as {c.format}; see them: fleet notify preview {c.name}"))
    if c.links:
        click.echo("  has links that approve or abort a rollout that waits, for whoever reads them")
    if c.failing_since:
        again = f"; tried again {moment(c.again_at)}" if c.again_at else ""
        click.echo(clean(f"  failing since {moment(c.failing_since)}: {c.reason}{again}"))


def _line(d: "Delivery") -> str:
    tries = f" ({d.tries} tries)" if d.tries > 1 else ""
    tries = f" until {moment(d.held_until)}, when quiet hours end" if d.held_until else tries
    return f"{moment(d.created_at)}  {d.state.value.replace('_', ' ')}{tries}  {d.title}" + (
        f": {d.reason}" if d.reason else ""
    )


@notify.command("rm")
@click.argument("name", shell_complete=completing.channels)
@unasked
@pass_session
def rm(session: Session, name: str, yes: bool) -> None:
    """Remove a channel, with all that waits for it. Asks first at a terminal."""
    be_sure(session, f"remove the channel {clean(name)}", yes)
    with session.client() as client:
        answer = client.remove_channel(name)
    if not print_answer(session, answer):
        click.echo(f"channel {name} removed")


@notify.command("test")
@click.argument("name", shell_complete=completing.channels)
@pass_session
def test(session: Session, name: str) -> None:
    """Send a test to a channel, and wait for what comes of it."""
    with session.client() as client:
        asked = client.test_channel(name)
        with working(session, f"waiting for {clean(name)}"):
            answer = _came(client, name, asked.event_id.hex)
    (delivery,) = answer.deliveries
    if not print_answer(session, answer):
        worked = delivery.state.value == SENT
        click.echo(clean(f"channel {name} took the test" if worked else f"channel {name} did not: {delivery.reason}"))
    if delivery.state.value != SENT:
        raise click.exceptions.Exit(1)


def _came(client: "Client", name: str, event: str) -> "ChannelAnswer":
    """Return the channel with the test alone, once it was sent, or tried in vain."""
    deadline = time.monotonic() + TEST_S
    while time.monotonic() < deadline:
        answer = client.channel(name)
        mine = tuple(d for d in answer.deliveries if d.event_id.hex == event)
        if mine and (mine[0].tries or mine[0].ended_at):
            return answer.model_copy(update={"deliveries": mine})
        time.sleep(_LOOK_S)
    raise TimedOut(
        f"cannot wait any longer for the test of {name}; does the notifier run? see: fleet notify show {name}"
    )


@notify.command("preview")
@click.argument("name", shell_complete=completing.channels)
@wording
@pass_session
def preview(session: Session, name: str, words: dict[str, str]) -> None:
    """Show an example of each event that a channel gets, as it would get it, or with the words that are given.

    Ends with 1 where a template cannot be used; nothing of the channel is changed.
    """
    from fleet.api.notify import TryTemplate

    with session.client() as client:
        answer = client.try_template(name, build(TryTemplate, **words)) if words else client.preview_channel(name)
    if not print_answer(session, answer):
        for each in answer.previews:
            click.echo(f"--- {each.type}")
            if each.wrong:
                say(clean(f"cannot use the template: {each.wrong}"))
                continue
            if each.title:
                click.echo(clean(each.title))
            click.echo("\n".join(map(clean, each.body.splitlines())))
    if any(each.wrong for each in answer.previews):
        raise click.exceptions.Exit(1)


@notify.command("retry")
@click.argument("name", shell_complete=completing.channels)
@pass_session
def retry(session: Session, name: str) -> None:
    """Let what was given up wait again, and try the channel at once."""
    with session.client() as client:
        answer = client.retry_channel(name)
    if not print_answer(session, answer):
        click.echo(clean(f"channel {name} is tried again, with {answer.deliveries} events that had been given up"))
