"""``fleet history``: what was updated, when, by whom, through which mirror, and what came of it."""

from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import NoSuchCommand

from fleet.cli import completing, figures, questions
from fleet.cli.asking import Asking, is_term, understood
from fleet.cli.building import build
from fleet.cli.console import Column, clean, paint, print_answer, print_json, print_table
from fleet.cli.listing import Formed, NamedListing, print_items, print_one, say_more
from fleet.cli.session import CSV, JSONL, Branch, Session, pass_session
from fleet.cli.words import (
    NOTHING,
    Moment,
    brief_change,
    brief_moment,
    came_to,
    change,
    familiar,
    moment,
    numbered,
    place_of,
    seconds,
    short_id,
    size,
)
from fleet.errors import BadInput

if TYPE_CHECKING:
    from fleet.api.history import HistoryQuery, OutcomeRow, Pull, PullAttempt, Update
    from fleet.client import Client

_COLUMNS = (
    Column("ID"),
    Column("WHEN", 1, brief=brief_moment),
    Column("HOST"),
    Column("CONTAINER"),
    Column("RESULT"),
    Column("DIGEST", 2, least=12, brief=brief_change),
    Column("MIRROR", 1, least=12, brief=place_of),
    Column("IMAGE", 3),
    Column("DOWN", 4, right=True, by=attrgetter("downtime_ms")),
    Column("ROLLOUT", 5),
    Column("BY", 5),
    Column("REASON", 6),
)
_ATTEMPTS = (
    Column("SOURCE"),
    Column("ROLE", 2),
    Column("RESULT"),
    Column("STATUS", 3, right=True),
    Column("BYTES", 1, right=True),
    Column("FIRST BYTE", 4, right=True),
    Column("SPEED", 4, right=True),
    Column("REASON"),
)
RESULTS = ("updated", "already_current", "skipped", "failed", "rolled_back", "rollback_failed", "abandoned")


class _History(Branch):
    """A group that asks when no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Run ``ls`` where the first word is an option or a term of a query, or where there is none."""
        if not args or (args[0] not in ("-h", "--help") and (args[0].startswith("-") or is_term(args[0]))):
            args = ["ls", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, a host or an image may have been meant, without its word."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            word = error.command_name
            meant = f"No such command {word!r}; ask for host:{word} or image:{word}, or for text: ls {word}."
            raise NoSuchCommand(word, meant, possibilities=self.commands, ctx=ctx) from None


@click.group(cls=_History)
def history() -> None:
    """Ask what was updated, when, and through which mirror. Without a command: ls."""


class _Outcomes(Asking, NamedListing):
    """The list that takes a query, and names what it finds."""


@history.command("ls", cls=_Outcomes)
@click.argument("query", nargs=-1)
@click.option("--since", type=Moment(), help="Not before: 2h (ago), 2026-11-25, or RFC 3339.")
@click.option("--until", type=Moment(), help="Not after.")
@click.option("--host", metavar="NAME", shell_complete=completing.hosts, help="On this host.")
@click.option("--image", metavar="REF", help="Of this image, with or without its tag.")
@click.option("--container", metavar="NAME", shell_complete=completing.containers, help="Of this container.")
@click.option("--digest", metavar="DIGEST", help="From or to this digest.")
@click.option("--mirror", metavar="URL", help="Served by this mirror.")
@click.option("--outcome", type=click.Choice(RESULTS), help="With this result.")
@click.option("--by", metavar="WHO", help="Asked by this person, schedule or rollout.")
@click.option("--rollout", metavar="ID", shell_complete=completing.rollouts, help="Of this rollout.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="All that fit, for -o jsonl or -o csv.")
@click.option("--page", metavar="CURSOR", help="Go on where the page before ended.")
@pass_session
def ls(session: Session, /, query: tuple[str, ...], everything: bool, **given: Any) -> None:
    """List outcomes, newest first; all that is given must hold.

    QUERY is made of host: image: container: digest: mirror: outcome: rollout: by: since: until: and of text; a comma
    means or, a minus means not: 'image:nginx -outcome:updated since:2d[Europe/Paris] "port is taken"'.
    """
    from fleet.api.history import LARGEST_PAGE, HistoryQuery, OutcomeRow

    if everything and session.output not in (JSONL, CSV):
        raise BadInput("cannot print everything in this form; add -o jsonl or -o csv, which write it as it comes")
    if everything and session.sort:
        raise BadInput("cannot sort what is printed as it comes; leave out --all or --sort")
    if everything:
        given["limit"] = LARGEST_PAGE
    asked = build(HistoryQuery, q=understood(query), **given)
    with session.client() as client:
        outcomes = Outcomes(client, asked, everything=everything)
        if session.json:
            found = [outcome.model_dump(mode="json") for outcome in outcomes]
            print_json({"schema": "v1", "outcomes": found, "next_page": outcomes.next_page})
            return
        none = "nothing in the history fits"
        print_items(session, _COLUMNS, outcomes, _cells, none, fields=OutcomeRow, name=lambda o: o.id.hex)
    if not everything:
        say_more(outcomes.next_page)


class Outcomes:
    """Outcomes as they come, page by page, some of which may be short or empty; so many at most."""

    def __init__(self, client: "Client", asked: "HistoryQuery", *, everything: bool) -> None:
        """Take what *asked* wants, or all that fits."""
        self._client = client
        self._asked = asked
        self._everything = everything
        self.next_page: str | None = asked.page
        """What to go on with, once the outcomes were read; None: there is no more."""

    def __iter__(self) -> "Iterator[OutcomeRow]":
        """Yield outcomes; the next page is asked for how many are still wanted."""
        left = self._asked.limit
        while left:
            asked = self._asked.model_copy(update={"page": self.next_page, "limit": left})
            page = self._client.history(asked)
            self.next_page = page.next_page
            yield from page.outcomes
            if not self._everything:
                left -= len(page.outcomes)
            if self.next_page is None:
                return


def _cells(o: "OutcomeRow") -> tuple[str, ...]:
    return (
        short_id(o.id),
        moment(o.recorded_at),
        o.host,
        o.container,
        came_to(o.result.value, o.back),
        change(o.old_digest, o.new_digest),
        o.mirror or NOTHING,
        familiar(o.image),
        seconds(o.downtime_ms),
        numbered(o.rollout, o.rollout_id),
        o.asked_by,
        o.reason or NOTHING,
    )


@history.command("show", cls=Formed)
@click.argument("id")
@pass_session
def show(session: Session, id: str) -> None:
    """Show one outcome in full: its pull, every source tried and why, the seconds of each phase, what changed."""
    with session.client() as client:
        answer = client.outcome(id)
    if print_answer(session, answer):
        return
    document = answer.model_dump(mode="json")
    if print_one(session, {**document["update"], "pull": document["pull"]}):
        return
    _show_update(session, answer.update)
    if answer.pull is None:
        click.echo("pull:       none was needed")
    else:
        _show_pull(session, answer.pull)
    for line in answer.update.config_diff:
        click.echo(f"changed:    {clean(line)}")


def _show_update(session: Session, u: "Update") -> None:
    facts = {
        "outcome": f"{short_id(u.id)} ({u.id})",
        "host": clean(f"{u.host}, container {u.container}"),
        "image": clean(u.image),
        "result": paint(session, came_to(u.result.value, u.back)) + (f": {clean(u.reason)}" if u.reason else ""),
        "old digest": clean(u.old_digest) or "not known",
        "new digest": clean(u.new_digest) or "not known",
        "asked by": f"{clean(u.asked_by)}, rollout {numbered(u.rollout, u.rollout_id)}",
        "command": f"{u.command_id}, as the host's log names it",
        "recorded": f"{moment(u.recorded_at)} (by the host's clock {moment(u.finished_at)})",
        "phases": _phases(u),
        "downtime": seconds(u.downtime_ms) if u.downtime_ms is not None else "none: it was never stopped",
    }
    for label, value in facts.items():
        click.echo(f"{label + ':':<12}{value}")


def _phases(u: "Update") -> str:
    named = {
        "pull": u.pull_ms,
        "create": u.create_ms,
        "stop": u.stop_ms,
        "start": u.start_ms,
        "verify": u.verify_ms,
        "roll back": u.rollback_ms,
    }
    return ", ".join(f"{name} {seconds(ms)}" for name, ms in named.items() if ms is not None) or NOTHING


def _show_pull(session: Session, pull: "Pull") -> None:
    way = {"daemon-chosen": "the daemon pulled by itself; which mirror served is not known"}.get(pull.tier.value)
    served = f"via {clean(pull.mirror)}" if pull.mirror else way or "no source served bytes"
    click.echo(f"pull:       {size(pull.bytes)} in {seconds(pull.duration_ms)}, {served} (tier {pull.tier.value})")
    if pull.reason:
        click.echo(f"            {clean(pull.reason)}")
    rows = [
        (
            a.mirror,
            a.role.value,
            a.result.value,
            str(a.status or NOTHING),
            size(a.bytes),
            seconds(a.first_byte_ms),
            f"{size(a.bytes * 1000 // a.duration_ms)}/s" if a.bytes and a.duration_ms else NOTHING,
            _remarks(a),
        )
        for a in pull.attempts
    ]
    print_table(session, _ATTEMPTS, rows, "no source was asked")


def _remarks(attempt: "PullAttempt") -> str:
    """Return what a source failed by, and who it sent to for bytes."""
    sent = f"sent to {', '.join(attempt.redirected_to)}" if attempt.redirected_to else ""
    return "; ".join(filter(None, (attempt.reason, sent))) or NOTHING


history.add_command(questions.who_runs)
history.add_command(questions.changes)
history.add_command(questions.chain)
history.add_command(figures.mirrors)
history.add_command(figures.durations)
history.add_command(figures.compared)
