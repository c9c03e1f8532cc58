"""``fleet cap``: how many hosts with the same value of a label may be away at once, over all rollouts."""

from typing import TYPE_CHECKING

import click

from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer, print_table, say
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.words import moment

if TYPE_CHECKING:
    from fleet.api.caps import Caps

_COLUMNS = (
    Column("LABEL"),
    Column("VALUE"),
    Column("CAP"),
    Column("LIMIT", right=True),
    Column("AWAY", right=True),
    Column("BY", 2),
    Column("SINCE", 3),
)


@click.group(cls=Branch)
def cap() -> None:
    """Limit how many hosts of one site or rack may be away at once, over all rollouts."""


@cap.command("ls")
@pass_session
def ls(session: Session) -> None:
    """List the caps, and how many hosts of each value are away now."""
    with session.client() as client:
        _show(session, client.caps())


@cap.command("set")
@click.argument("label")
@click.argument("most")
@pass_session
def set_(session: Session, label: str, most: str) -> None:
    """Let at most MOST hosts with the same value of LABEL be away at once: 1, or 25% (rounded down).

    Away is a host that is being updated, by whatever rollout, or failed at its latest try.
    """
    from fleet.api.caps import SetCap

    with session.client() as client:
        _show(session, client.set_cap(label, build(SetCap, most=most)))


@cap.command("rm")
@click.argument("label")
@pass_session
def rm(session: Session, label: str) -> None:
    """Take the cap of LABEL away."""
    with session.client() as client:
        _show(session, client.drop_cap(label))


def _show(session: Session, answer: "Caps") -> None:
    if print_answer(session, answer):
        return
    rows = []
    for each in answer.caps:
        said = (each.most, each.changed_by, moment(each.changed_at))
        mine = [value for value in answer.values if value.label == each.label]
        rows += [(v.label, v.value, said[0], str(v.limit), str(v.unavailable), *said[1:]) for v in mine]
        if not mine:
            rows.append((each.label, "no host has it", said[0], "", "", *said[1:]))
    print_table(session, _COLUMNS, rows, "no caps; set one with: fleet cap set site 25%")
    for value in answer.values:
        if value.limit < 1:
            say(clean(f"warning: the cap of {value.label}={value.value} lets none of its hosts go; give a larger one"))
