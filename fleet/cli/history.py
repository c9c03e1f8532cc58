"""``fleet history``: what was updated, when, by whom, through which mirror, and what came of it."""

from typing import TYPE_CHECKING, Any

import click

from fleet.cli.building import build
from fleet.cli.console import Column, clean, paint, print_answer, print_table, say
from fleet.cli.session import Branch, Leaf, Session, pass_session
from fleet.cli.words import NOTHING, Moment, change, familiar, moment, seconds, short_id, size

if TYPE_CHECKING:
    from fleet.api.history import Pull, Update

_COLUMNS = (
    Column("ID"),
    Column("WHEN", 1),
    Column("HOST"),
    Column("CONTAINER"),
    Column("RESULT"),
    Column("DIGEST", 2),
    Column("MIRROR", 1),
    Column("IMAGE", 3),
    Column("DOWN", 4, right=True),
    Column("BY", 5),
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
        """Run ``ls`` where the first word is an option, or where there is none."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["ls", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_History)
def history() -> None:
    """Ask what was updated, when, and through which mirror. Without a command: ls."""


@history.command("ls", cls=Leaf)
@click.option("--since", type=Moment(), help="Not before: 2h (ago), 2026-11-25, or RFC 3339.")
@click.option("--until", type=Moment(), help="Not after.")
@click.option("--host", metavar="NAME", help="On this host.")
@click.option("--image", metavar="REF", help="Of this image, with or without its tag.")
@click.option("--container", metavar="NAME", help="Of this container.")
@click.option("--digest", metavar="DIGEST", help="From or to this digest.")
@click.option("--mirror", metavar="URL", help="Served by this mirror.")
@click.option("--outcome", type=click.Choice(RESULTS), help="With this result.")
@click.option("--by", metavar="WHO", help="Asked by this person, schedule or rollout.")
@click.option("--rollout", metavar="ID", help="Of this rollout.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--page", metavar="CURSOR", help="Go on where the page before ended.")
@pass_session
def ls(session: Session, /, **query: Any) -> None:
    """List outcomes, newest first; all that is given must hold."""
    from fleet.api.history import HistoryQuery

    with session.client() as client:
        answer = client.history(build(HistoryQuery, **query))
    if print_answer(session, answer):
        return
    rows = [
        (
            short_id(o.id),
            moment(o.recorded_at),
            o.host,
            o.container,
            o.result.value,
            change(o.old_digest, o.new_digest),
            o.mirror or NOTHING,
            familiar(o.image),
            seconds(o.downtime_ms),
            o.asked_by,
        )
        for o in answer.outcomes
    ]
    print_table(session, _COLUMNS, rows, "nothing in the history fits")
    if answer.next_page:
        say(f"there is more; go on with: --page {answer.next_page}")


@history.command("show")
@click.argument("id")
@pass_session
def show(session: Session, id: str) -> None:
    """Show one outcome in full: its pull, every source tried and why, the seconds of each phase, what changed."""
    with session.client() as client:
        answer = client.outcome(id)
    if print_answer(session, answer):
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
        "host": f"{u.host}, container {u.container}",
        "image": u.image,
        "result": paint(session, u.result.value) + (f": {clean(u.reason)}" if u.reason else ""),
        "old digest": u.old_digest or "not known",
        "new digest": u.new_digest or "not known",
        "asked by": f"{clean(u.asked_by)}, rollout {short_id(u.rollout_id)}",
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
            a.reason or NOTHING,
        )
        for a in pull.attempts
    ]
    print_table(session, _ATTEMPTS, rows, "no source was asked")
