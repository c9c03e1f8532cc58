"""``fleet controller``: the processes of the centre."""

import click


@click.command()
@click.option(
    "--only",
    metavar="NAMES",
    help="Run only these, separated by commas: web, planner, inbox, notifier, beat, mqtt. One alone needs no supervisor.",
)
def controller(only: str | None) -> None:
    """Run the processes of the centre until SIGTERM: web, planner, inbox, notifier, beat, and mqtt where it has a broker.

    Each is a process of its own that is started again when it dies. Where it finds database and broker:
    FLEET_DATABASE_URL, FLEET_BROKER_URL, or /etc/fleet/fleet.toml.
    """
    from fleet.controller import process, supervisor
    from fleet.settings import logs
    from fleet.settings.centre import CentreSettings

    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    settings = CentreSettings.read()
    if len(names) == 1:
        settings.broker_address()
        process.run(names[0], settings)
        return
    logs.set_up("supervisor", level=settings.log.level, format=settings.log.format)
    supervisor.run(settings, names)
