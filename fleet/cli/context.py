"""``fleet context``: the servers of several fleets by name. Nothing is asked of any server here."""

from pathlib import Path
from typing import Any

import click

from fleet.cli import profile
from fleet.cli.console import Column, print_json
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.session import Branch, Session, context_names, pass_session
from fleet.cli.words import NOTHING
from fleet.errors import BadInput

_COLUMNS = (Column("NAME"), Column("USED"), Column("SERVER"), Column("TOKEN FILE", 1), Column("CA FILE", 2))
_STDIN = "-"
_FIELDS = ("name", "used", *profile.KEYS)


@click.group(cls=Branch)
def context() -> None:
    """Choose among the servers of several fleets: --context NAME names one for a call, use for all that follow."""


@context.command("ls", cls=NamedListing)
@pass_session
def ls(session: Session) -> None:
    """List the contexts of the settings file."""
    used = profile.used()
    blank = dict.fromkeys(profile.KEYS, "")
    found = [{"name": name, "used": name == used, **blank, **said} for name, said in profile.contexts().items()]
    if session.json:
        print_json({"schema": "v1", "contexts": found})
        return
    none = "no contexts; add one with: fleet --server https://HOST:PORT --token-file FILE context add NAME"
    print_items(session, _COLUMNS, found, _cells, none, fields=_FIELDS, name=lambda each: str(each["name"]))


@context.command("add")
@click.argument("name")
@pass_session
def add(session: Session, name: str) -> None:
    """Keep the server, token file and CA file that this call names, as NAME.

    As in: fleet context add paris --server https://fleet.paris.lan:8443 --token-file token --ca-file ca.crt
    """
    from fleet.client.address import ServerAddress

    if not session.server:
        raise BadInput(f"cannot add the context {name} without its server; name it with --server")
    if session.token_file == _STDIN:
        raise BadInput(
            "cannot keep a token that stands on stdin; write it into a file, and name that with --token-file"
        )
    files = {"token_file": session.token_file, "ca_file": session.ca_file}
    ServerAddress.parse(session.server)
    path = profile.add(
        name, {"server": session.server, **{key: str(Path(file).absolute()) for key, file in files.items() if file}}
    )
    _done(session, f"context {name} is kept in {path}; go there with: fleet context use {name}")


@context.command("use")
@click.argument("name", required=False, default="", shell_complete=context_names)
@pass_session
def use(session: Session, name: str) -> None:
    """Let what follows go to the server of context NAME; without it, where it went before there was one."""
    server = profile.context(name)["server"] if name else ""
    profile.use(name)
    _done(session, f"what follows goes to {server}" if name else "no context is used any more")


def _cells(each: dict[str, Any]) -> tuple[str, ...]:
    return each["name"], "yes" if each["used"] else NOTHING, *(each[key] or NOTHING for key in profile.KEYS)


def _done(session: Session, text: str) -> None:
    if session.json:
        print_json({"schema": "v1", "done": True})
    else:
        click.echo(text)
