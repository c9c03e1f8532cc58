"""``fleet db``: the database of this machine's centre, brought up to date."""

import click

from fleet.cli.console import print_json
from fleet.cli.session import Branch, Session, pass_session


@click.group(cls=Branch)
def db() -> None:
    """Bring the database's schema up to date. Reads the settings of the centre (FLEET_DATABASE_URL)."""


@db.command("upgrade")
@pass_session
def upgrade(session: Session) -> None:
    """Bring the database to the shape of this program; safe to run twice, and at once."""
    from fleet.history import upgrade as shape
    from fleet.settings.centre import CentreSettings

    settings = CentreSettings.read()
    settings.prepare_state()
    shape.upgrade(settings.database_url)
    if session.json:
        print_json({"schema": "v1", "done": True})
    else:
        click.echo("the database has the shape of this program")


@db.command("current")
@pass_session
def current(session: Session) -> None:
    """Say whether the database has the shape of this program; exit 6 where it has not."""
    from fleet.history.database import Database
    from fleet.history.upgrade import require_head
    from fleet.settings.centre import CentreSettings

    database = Database.open(CentreSettings.read().database_url)
    try:
        require_head(database)
    finally:
        database.close()
    if session.json:
        print_json({"schema": "v1", "current": True})
    else:
        click.echo("the database has the shape of this program")
