"""``fleet config``: what is set on this machine, and by what; secrets are never shown."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fleet.cli.console import Column, print_json
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.words import NOTHING

if TYPE_CHECKING:
    from fleet.settings.sources import ProcessSettings

_COLUMNS = (Column("SETTING"), Column("VALUE"), Column("ORIGIN"), Column("VARIABLE", 1))


@click.group(cls=Branch)
def config() -> None:
    """Show and check the settings of this machine's centre or agent."""


def _whose(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the option that says whose settings are meant, ``whose``."""
    kinds = click.Choice(["centre", "agent"])
    return click.option("--of", "whose", type=kinds, default="centre", show_default=True, help="Whose settings.")(
        command
    )


@config.command("show", cls=NamedListing)
@_whose
@pass_session
def show(session: Session, whose: str) -> None:
    """List every setting with its value and what says so: a variable, the settings file, or the default.

    It is what a process would get that is started from here and now. Of a secret it is said only that it is set.
    """
    from fleet.settings import origins

    found = [asdict(setting) for setting in origins.settings(_kind(whose))]
    if session.json:
        print_json({"schema": "v1", "settings": found})
    else:
        fields = ("setting", "value", "origin", "variable")
        print_items(session, _COLUMNS, found, _cells, "", fields=fields, name=lambda each: str(each["setting"]))


@config.command("validate")
@_whose
@pass_session
def validate(session: Session, whose: str) -> None:
    """Read the settings as a process would; exit 1, and say which one and why, where they cannot be used."""
    from fleet.settings import sources

    sources.read(_kind(whose))
    if session.json:
        print_json({"schema": "v1", "valid": True})
    else:
        click.echo(f"the settings of the {whose} can be used")


def _kind(whose: str) -> "type[ProcessSettings]":
    if whose == "agent":
        from fleet.settings.agent import AgentSettings

        return AgentSettings
    from fleet.settings.centre import CentreSettings

    return CentreSettings


def _cells(setting: dict[str, Any]) -> tuple[str, ...]:
    return setting["setting"], setting["value"] or NOTHING, setting["origin"], setting["variable"]
