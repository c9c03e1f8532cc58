"""``fleet up``: centre, broker and agent together on one machine, each as a process of its own."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.errors import Refused

if TYPE_CHECKING:
    from fleet.settings.centre import CentreSettings


LOOK_S = 10.0
"""Seconds between two looks for new tags: with one host a look costs nothing, and somebody waits for it."""


@click.command()
@click.option(
    "--state-dir", type=click.Path(path_type=Path), help="Where everything is kept; FLEET_STATE_DIR does the same."
)
@click.option("--engine", metavar="URL", help="The engine's address; by default DOCKER_HOST, or Docker's usual socket.")
def up(state_dir: Path | None, engine: str | None) -> None:
    """Run controller, scheduler and agent together on this machine, with SQLite and a private broker.

    Nothing is installed and no port is opened; the other commands find it by its socket. Everything is kept in the
    state directory, so a restart, or a kill, goes on where it ended.
    """
    from fleet.settings import logs
    from fleet.settings.agent import AgentSettings
    from fleet.settings.centre import CentreSettings

    given: dict[str, Any] = {"state_dir": state_dir.absolute()} if state_dir else {}
    settings = CentreSettings.read(**given)
    logs.set_up("up", level=settings.log.level, format=settings.log.format)
    run(settings, AgentSettings.read(engine=engine or "").engine_url or "")


def run(settings: "CentreSettings", engine: str = "") -> None:
    """Keep everything running until SIGTERM or Ctrl-C; raise where the engine is away or the state is in use."""
    from fleet.cli.local import LocalAgent
    from fleet.controller import home_pulse
    from fleet.controller.supervisor import Kept, Supervisor, centre_process, chosen
    from fleet.road.embedded import EmbeddedBroker, find_server

    settings.prepare_state()
    with _alone(settings.state_dir):
        _check_engine(engine)
        broker = EmbeddedBroker(settings.state_dir.absolute() / "broker", server=find_server())
        environment = _environment(settings, broker.address.url)
        _migrate(environment)
        if not settings.mqtt.url:
            home_pulse.forget(settings.state_dir)
        agent = LocalAgent(settings, broker.address, _host_name(), engine, environment, lambda: _tell_ready(settings))
        kept: dict[str, Kept] = {"broker": broker}
        kept |= {name: centre_process(name, environment) for name in chosen(settings)}
        click.echo(f"fleet keeps everything in {settings.state_dir}; Ctrl-C ends it", err=True)
        Supervisor({**kept, "agent": agent}).run()


def _tell_ready(settings: "CentreSettings") -> None:
    click.echo(f"it listens; look around from another terminal with: {_look_around(settings)}", err=True)


def _look_around(settings: "CentreSettings") -> str:
    """Return the first thing to type: whoever keeps the state elsewhere has to say so there too."""
    from fleet.settings import places

    socket = settings.socket.absolute()
    return "fleet ps" if socket == places.socket(places.state_dir()) else f"fleet --server unix://{socket} ps"


def _environment(settings: "CentreSettings", broker_url: str) -> Mapping[str, str]:
    """Return what the children are told: this state directory and this broker, whatever the file says of another."""
    others = ("BROKER_URL_FILE", "BROKER_PASSWORD", "BROKER_PASSWORD_FILE", "BROKER_CA_FILE", "BROKER_PUBLIC_URL")
    told = {
        "FLEET_STATE_DIR": str(settings.state_dir.absolute()),
        "FLEET_BROKER_URL": broker_url,
        "FLEET_CHECK_EVERY_S": f"{min(settings.check.every_s, LOOK_S)}",
    }
    return told | {f"FLEET_{name}": "" for name in others}


def _check_engine(url: str) -> None:
    """Raise EngineUnreachable where no engine answers: without one there is nothing to keep up to date."""
    from fleet.engine.docker import connect

    engine = connect(url or None)
    try:
        engine.ping()
    finally:
        engine.close()


def _migrate(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "fleet.controller.process", "migrate"]
    if subprocess.run(command, env={**os.environ, **environment}, check=False).returncode:
        raise Refused("cannot prepare the database; the line above says why")


def _host_name() -> str:
    """Return what this machine is called, as far as a host may be called so."""
    name = "".join(sign if sign.isalnum() or sign in "_.-" else "-" for sign in socket.gethostname().partition(".")[0])
    return name.encode("ascii", "ignore").decode().lstrip("_.-")[:63] or "local"


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Keep a second ``fleet up`` away from the same state."""
    with (state / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"cannot run fleet up twice in {state}; name another place with --state-dir") from None
        yield
