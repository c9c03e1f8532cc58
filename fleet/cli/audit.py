"""``fleet audit``: who did what, through which door. It is only read."""

import json
from typing import TYPE_CHECKING, Any

import click

from fleet.cli.console import Column, print_answer
from fleet.cli.listing import Listing, print_items, say_more
from fleet.cli.session import Session, pass_session
from fleet.cli.words import NOTHING, Moment, moment

if TYPE_CHECKING:
    from fleet.api.questions import Act

_COLUMNS = (
    Column("WHEN"),
    Column("WHO"),
    Column("DOOR", 2),
    Column("ACTION"),
    Column("SUBJECT"),
    Column("DETAILS", 3),
)


@click.command("audit", cls=Listing)
@click.option(
    "--who", metavar="WHO", default="", help="By person:NAME, token:NAME, schedule:NAME, or NAME of any kind."
)
@click.option("--subject", metavar="NAME", default="", help="To this host, schedule, token, ...")
@click.option("--action", metavar="WORDS", default="", help="Of this kind, such as: host add")
@click.option("--since", type=Moment(), help="Not before: 2h (ago), 2026-11-25, or RFC 3339.")
@click.option("--until", type=Moment(), help="Before then.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--page", metavar="CURSOR", default="", help="Go on where the page before ended.")
@pass_session
def audit(session: Session, /, **asked: Any) -> None:
    """List who did what, through which door, newest first."""
    from fleet.api.questions import Act

    with session.client() as client:
        answer = client.audit(**asked)
    if print_answer(session, answer):
        return
    print_items(session, _COLUMNS, answer.acts, _cells, "nobody did anything that fits", fields=Act)
    say_more(answer.next_page)


def _cells(act: "Act") -> tuple[str, ...]:
    details = json.dumps(act.details, ensure_ascii=False) if act.details else NOTHING
    return moment(act.at), act.who, act.door, act.action, act.subject, details
