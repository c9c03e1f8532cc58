"""``fleet mirror``: which mirrors there are, and which way an image would take."""

import click

from fleet.cli.console import Column, clean, print_answer, print_table
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.words import NOTHING, short_digest

_COLUMNS = (
    Column("HOST"),
    Column("FOR"),
    Column("MIRROR"),
    Column("FROM", 1),
    Column("WHERE", 3),
    Column("TLS", 2),
)


@click.group(cls=Branch)
def mirror() -> None:
    """Look at mirrors and at the route of an image."""


@mirror.command("ls")
@click.option("--host", metavar="NAME", help="Of this host alone, with policy.")
@pass_session
def ls(session: Session, host: str | None) -> None:
    """List the mirror rules of policy and of every host's own files."""
    with session.client() as client:
        answer = client.mirrors(host)
    if print_answer(session, answer):
        return
    rows = [
        (
            m.host or "(policy)",
            m.for_registry,
            m.endpoint,
            m.provenance.value,
            m.where or NOTHING,
            "unchecked" if m.insecure else "checked" if m.endpoint.startswith("https") else "none",
        )
        for m in answer.mirrors
    ]
    print_table(session, _COLUMNS, rows, "no mirrors; write some into the policy with: fleet policy apply -f FILE")


@mirror.command("explain")
@click.argument("image")
@click.option("--host", metavar="NAME", help="On this host; by default on every host that runs the image.")
@pass_session
def explain(session: Session, image: str, host: str | None) -> None:
    """Say where IMAGE would be pulled from, in order, and why."""
    with session.client() as client:
        answer = client.explain(image, host)
    if print_answer(session, answer):
        return
    click.echo(f"{clean(answer.image)} is {answer.reference}")
    if answer.digest:
        click.echo(f"its tag has {short_digest(answer.digest)}, as {clean(answer.endpoint) or 'a host'} said")
    else:
        click.echo("what its tag has is not known" + (f": {clean(answer.reason)}" if answer.reason else ""))
    for route in answer.routes:
        click.echo(f"{clean(route.host) or 'a host without mirrors of its own'}:")
        for number, stop in enumerate(route.sources, start=1):
            click.echo(f"  {number} {_stop(stop.endpoint, stop.role.value, stop.for_registry, stop.where)}")
        for skipped in route.skipped:
            click.echo(f"  - {clean(skipped.endpoint)}  not asked: {clean(skipped.reason)}")


def _stop(endpoint: str, role: str, registry: str, where: str) -> str:
    whose = "the origin" if role == "origin" else "global mirror" if registry == "*" else f"mirror of {registry}"
    return clean(f"{endpoint}  {whose}" + (f" ({where})" if where else ""))
