"""``fleet cap``: how many hosts with the same value of a label may be away at once, over all rollouts."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer, say
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.session import Branch, Session, pass_session, trying
from fleet.cli.words import NOTHING, moment

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
_FIELDS = ("label", "value", "most", "limit", "unavailable", "changed_by", "changed_at")
"""What is said of each value of a capped label, the cap itself beside it."""


@click.group(cls=Branch)
def cap() -> None:
    """Limit how many hosts of one site or rack may be away at once, over all rollouts."""


@cap.command("ls", cls=NamedListing)
@pass_session
def ls(session: Session) -> None:
    """List the caps, and how many hosts of each value are away now."""
    with session.client() as client:
        _show(session, client.caps())


@cap.command("set")
@click.argument("label")
@click.argument("most")
@trying
@pass_session
def set_(session: Session, label: str, most: str) -> None:
    """Let at most MOST hosts with the same value of LABEL be away at once: 1, or 25% (rounded down).

    Away is a host that is being updated, by whatever rollout, or failed at its latest try.
    """
    from fleet.api.caps import SetCap

    with session.client() as client:
        _show(session, client.set_cap(label, build(SetCap, most=most)))


@cap.command("rm")
@click.argument("label", shell_complete=completing.caps)
@trying
@pass_session
def rm(session: Session, label: str) -> None:
    """Take the cap of LABEL away."""
    with session.client() as client:
        _show(session, client.drop_cap(label))


def _show(session: Session, answer: "Caps") -> None:
    if print_answer(session, answer):
        return
    none = "no caps; set one with: fleet cap set site 25%"
    items = _labels(answer) if session.quiet else _values(answer)
    print_items(session, _COLUMNS, items, _cells, none, fields=_FIELDS, name=lambda item: item["label"])
    for value in answer.values:
        if value.limit < 1:
            say(clean(f"warning: the cap of {value.label}={value.value} lets none of its hosts go; give a larger one"))


def _labels(answer: "Caps") -> list[dict[str, Any]]:
    """Return each cap once, by the label that other commands take it by."""
    return [{**dict.fromkeys(_FIELDS), **cap.model_dump(mode="json")} for cap in answer.caps]


def _values(answer: "Caps") -> list[dict[str, Any]]:
    """Return each value of each capped label; a label that no host has, once, without a value."""
    found: list[dict[str, Any]] = []
    for cap in _labels(answer):
        mine = [value.model_dump(mode="json") for value in answer.values if value.label == cap["label"]]
        found += [{**cap, **value} for value in mine] or [cap]
    return found


def _cells(item: dict[str, Any]) -> tuple[str, ...]:
    known = item["value"] is not None
    return (
        item["label"],
        item["value"] if known else "no host has it",
        item["most"],
        str(item["limit"]) if known else NOTHING,
        str(item["unavailable"]) if known else NOTHING,
        item["changed_by"],
        moment(datetime.fromisoformat(item["changed_at"])) if item["changed_at"] else NOTHING,
    )
