"""``fleet undo``: one container back to what it ran before its latest update."""

from datetime import timedelta

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.plan import carry_out
from fleet.cli.session import Leaf, Session, trying
from fleet.cli.waiting import waiting


@click.command(cls=Leaf)
@click.argument("host", shell_complete=completing.hosts)
@click.argument("container", shell_complete=completing.containers)
@click.option("-m", "--reason", default="", help="Why, for the others.")
@waiting
@trying
@click.pass_context
def undo(ctx: click.Context, host: str, container: str, reason: str, detach: bool, timeout: timedelta | None) -> None:
    """Bring CONTAINER on HOST back to the digest that it ran before its latest update.

    The same steps as an update: the bytes first (kept on the host, or from a mirror), then the container, and the newer
    one comes back where the older does not prove itself. Its tag may still have the newer digest: to keep the next
    schedule from it, see fleet skip.
    """
    from fleet.api.plans import UndoContainer

    session = ctx.ensure_object(Session)
    with session.client() as client:
        ordered = client.undo(build(UndoContainer, host=host, container=container, reason=reason))
        code = carry_out(session, client, ordered, detach, timeout)
    ctx.exit(code)
