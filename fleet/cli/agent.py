"""``fleet agent``: the worker of this host."""

import click


@click.command()
@click.option("--join", metavar="FILE", help="The join file that fleet host add wrote; FLEET_JOIN_FILE does the same.")
@click.option("--engine", metavar="URL", help="The engine: unix:///var/run/docker.sock by default, or DOCKER_HOST.")
@click.option("--state", metavar="DIR", help="Where journal and outbox are kept; FLEET_STATE_DIR does the same.")
@click.option(
    "--remove-hosts-toml", is_flag=True, help="Remove the hosts.toml files that an agent wrote on this host, and end."
)
def agent(join: str | None, engine: str | None, state: str | None, remove_hosts_toml: bool) -> None:
    """Be the agent of this host until SIGTERM.

    It dials out to the broker that the join file names, opens no port, and can only update containers: what it was
    doing when it was stopped or killed, it takes to an end at the next start.
    """
    from fleet.agent import process
    from fleet.settings import logs
    from fleet.settings.agent import AgentSettings

    if remove_hosts_toml:
        _remove_hosts_toml()
        return
    settings = AgentSettings.read(join_file=join or "", engine=engine or "", state_dir=state or "")
    logs.set_up("agent", level=settings.log.level, format=settings.log.format)
    process.run(settings)


def _remove_hosts_toml() -> None:
    from fleet.errors import Refused
    from fleet.mirrors.managed_hosts import ManagedHosts

    try:
        count = ManagedHosts().remove_all()
    except OSError as e:
        raise Refused(f"cannot remove {e.filename}: {e.strerror}; run it as the user that the agent runs as") from e
    click.echo(f"removed {count} hosts.toml files that Fleet wrote; those of others are as they were")
