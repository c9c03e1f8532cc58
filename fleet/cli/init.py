"""``fleet init``: the authority, certificates and passwords of a centre with servers of its own."""

from pathlib import Path

import click

from fleet.cli.console import print_json
from fleet.cli.session import Leaf, Session, pass_session


@click.command(cls=Leaf)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--name",
    "names",
    multiple=True,
    required=True,
    help="A host name or address by which hosts reach the broker, or people the API; may be repeated.",
)
@click.option(
    "--readable",
    is_flag=True,
    help="Let every user read all but the authority's key: for volumes that one service alone has.",
)
@pass_session
def init(session: Session, folder: Path, names: tuple[str, ...], readable: bool) -> None:
    """Make certificates and passwords for PostgreSQL, Redis and the API under FOLDER.

    What is there already stays, so that it is safe to run again; certificates for other names, and those near their
    end, are made anew. The broker takes FOLDER/broker, PostgreSQL FOLDER/database, Fleet itself FOLDER/centre;
    FOLDER/authority belongs to nobody else. One machine with fleet up needs none of this.
    """
    from fleet.clock import SystemClock
    from fleet.controller.founding import found

    made = found(folder, tuple(dict.fromkeys(names)), SystemClock().now(), readable=readable)
    if session.json:
        print_json({"schema": "v1", "made": made})
        return
    for path in made:
        click.echo(f"made {folder / path}")
    if not made:
        click.echo("everything was there already")
