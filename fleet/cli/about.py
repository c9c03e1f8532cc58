"""``fleet version``, ``fleet healthcheck`` and ``fleet completion``."""

import click

from fleet.cli.console import print_answer, print_json
from fleet.cli.session import Leaf, Session, pass_session
from fleet.errors import BadInput

SHELLS = ("bash", "zsh", "fish", "powershell")


@click.command(cls=Leaf)
@pass_session
def version(session: Session) -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    number = installed("fleet-updater")
    if session.json:
        print_json({"schema": "v1", "version": number})
    else:
        click.echo(f"fleet {number}")


@click.command(cls=Leaf)
@pass_session
def healthcheck(session: Session) -> None:
    """Exit 0 only when the server answers and can read its database; for HEALTHCHECK and monitors."""
    with session.client() as client:
        answer = client.health()
    if not print_answer(session, answer):
        click.echo(answer.status)


@click.command(cls=Leaf)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; for bash: eval "$(fleet completion bash)"."""
    from click.shell_completion import get_completion_class

    from fleet.cli.main import fleet

    kind = get_completion_class(shell)
    if kind is None:
        raise BadInput(f"cannot complete for {shell}: this version of click does not know it")
    click.echo(kind(fleet, {}, "fleet", "_FLEET_COMPLETE").source())
