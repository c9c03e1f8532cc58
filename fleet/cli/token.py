"""``fleet token``: who may speak to the API from elsewhere."""

from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, print_answer, say
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.sure import be_sure, unasked
from fleet.cli.words import Duration, ago, moment
from fleet.errors import BadInput

if TYPE_CHECKING:
    from fleet.api.tokens import Token

_COLUMNS = (
    Column("NAME"),
    Column("SCOPE"),
    Column("STATE"),
    Column("EXPIRES", 1, by=attrgetter("expires_at")),
    Column("USED", 2, by=attrgetter("last_used_at")),
    Column("BY", 3),
    Column("MADE", 3),
)


@click.group(cls=Branch)
def token() -> None:
    """Make and revoke tokens of the API."""


@token.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True)
@click.option("--ttl", type=Duration(), help="How long it holds, such as 90d; by default until it is revoked.")
@pass_session
def create(session: Session, name: str, scope: str, ttl: timedelta | None) -> None:
    """Make a token; it is printed this one time."""
    from fleet.api.tokens import CreateToken

    if ttl is not None and not ttl:
        raise BadInput("cannot make a token that holds for no time; give a --ttl such as 90d, or none")
    expires = datetime.now(UTC) + ttl if ttl else None
    with session.client() as client:
        answer = client.create_token(build(CreateToken, name=name, scope=scope, expires_at=expires))
    if print_answer(session, answer):
        return
    click.echo(answer.secret)
    say("keep it in a file of mode 0600, and use it with: fleet --server https://... --token-file FILE")


@token.command("ls", cls=NamedListing)
@pass_session
def ls(session: Session) -> None:
    """List the tokens, without their secrets."""
    from fleet.api.tokens import Token

    with session.client() as client:
        answer = client.tokens()
    if print_answer(session, answer):
        return
    none = "no tokens; make one with: fleet token create NAME"
    print_items(session, _COLUMNS, answer.tokens, _cells, none, fields=Token, name=lambda t: t.name)


def _cells(t: "Token") -> tuple[str, ...]:
    ended = t.expires_at is not None and t.expires_at <= datetime.now(UTC)
    return (
        t.name,
        t.scope.value,
        "revoked" if t.revoked_at else "expired" if ended else "valid",
        moment(t.expires_at) if t.expires_at else "never",
        ago(t.last_used_at),
        t.created_by,
        moment(t.created_at),
    )


@token.command("revoke")
@click.argument("name", shell_complete=completing.tokens)
@unasked
@pass_session
def revoke(session: Session, name: str, yes: bool) -> None:
    """Take a token back at once; whoever has it is cut off. Asks first at a terminal."""
    be_sure(session, f"revoke the token {clean(name)}", yes)
    with session.client() as client:
        answer = client.revoke_token(name)
    if not print_answer(session, answer):
        click.echo(f"token {name} revoked")
