"""``fleet ps`` and ``fleet outdated``: what runs where, and what its tag has moved past."""

from typing import TYPE_CHECKING

import click

from fleet.cli.console import Column, none_of, print_answer, print_table, say, working
from fleet.cli.select import selecting
from fleet.cli.session import Leaf, Session, pass_session
from fleet.cli.words import NOTHING, ago, change, familiar, short_digest

if TYPE_CHECKING:
    from fleet.api.selectors import Selector

_PS = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("IMAGE"),
    Column("STATE"),
    Column("DIGEST", 2),
    Column("PLATFORM", 4),
    Column("SEEN", 3),
)
_OUTDATED = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("STATUS"),
    Column("IMAGE", 1),
    Column("DIGEST", 2),
    Column("CHECKED", 3),
    Column("REASON", 4),
)


@click.command(cls=Leaf)
@click.argument("patterns", nargs=-1, metavar="[HOST]...")
@selecting
@pass_session
def ps(session: Session, patterns: tuple[str, ...], selector: "Selector") -> None:
    """List the containers of all hosts, or of those whose name fits HOST."""
    selector = selector.model_copy(update={"hosts": (*selector.hosts, *patterns)})
    with session.client() as client:
        answer = client.containers(selector)
    if print_answer(session, answer):
        return
    rows = [
        (
            c.host,
            c.name,
            c.reference,
            c.health if c.health == "unhealthy" else c.state or NOTHING,
            short_digest(c.digests[0]) if c.digests else NOTHING,
            c.platform or NOTHING,
            ago(c.seen_at),
        )
        for c in answer.containers
    ]
    print_table(session, _PS, rows, none_of(selector))


@click.command(cls=Leaf)
@selecting
@click.option("--check", is_flag=True, help="Ask the registries now, instead of taking the last check.")
@pass_session
def outdated(session: Session, selector: "Selector", check: bool) -> None:
    """List the containers whose tag has moved on, or of which that is not known."""
    with session.client() as client, working(session, "asking the registries" if check else "looking"):
        answer = client.outdated(selector, check=check)
    if print_answer(session, answer):
        return
    rows = [
        (
            c.host,
            c.container,
            c.status,
            familiar(c.image),
            change(c.old_digest, c.new_digest),
            ago(c.resolved_at),
            c.reason or NOTHING,
        )
        for c in answer.containers
    ]
    empty = f"nothing is outdated; {_current(answer.current)}" if answer.current else none_of(selector)
    print_table(session, _OUTDATED, rows, empty)
    if rows:
        say(f"{_current(answer.current)}; see what an update would do with: fleet plan")


def _current(count: int) -> str:
    return "1 container is current" if count == 1 else f"{count} containers are current"
