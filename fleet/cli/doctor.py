"""``fleet doctor``: what is wrong, why, and what to do about it."""

from typing import TYPE_CHECKING, Any

import click

from fleet.cli import completing
from fleet.cli.console import clean, paint, print_answer, working
from fleet.cli.session import Leaf, Session
from fleet.errors import AuthNeeded, Unreachable

if TYPE_CHECKING:
    from fleet.api.doctor import Check, Diagnosis
    from fleet.client import Client

_ABSENT = "kinds of trouble were looked for and not found; each stands in: fleet doctor -o json"
ANSWERS_WITHIN_S = 15.0
"""How long a host is waited for, seconds: a tick, its looks at its mirrors, and the way back."""
FAILED = 1
"""The exit code where anything does not work."""


@click.command(cls=Leaf)
@click.option(
    "--host",
    metavar="NAME",
    default="",
    shell_complete=completing.hosts,
    help="Look at this host alone, and ask it now.",
)
@click.pass_context
def doctor(ctx: click.Context, host: str) -> None:
    """Say what is wrong, why, and what to do about it. Exit 1 where anything does not work.

    With --host, its agent is let look at its mirrors now (by a token of scope write), and all that is known of it is told.
    """
    from fleet.api.doctor import Check, Grade

    session = ctx.ensure_object(Session)
    diagnosis = _ask(session, host)
    if not print_answer(session, diagnosis):
        for check in diagnosis.checks:
            if not check.absent:
                _show(session, check)
        if absent := sum(check.absent for check in diagnosis.checks):
            _show(session, Check(id="absent", grade=Grade.PASS, text=f"{absent} {_ABSENT}"))
    if diagnosis.failed:
        ctx.exit(FAILED)


def _answers(client: "Client", host: str) -> "Check | None":
    """Let *host* look at its mirrors now, and return whether it answered; None: this token may not ask it."""
    from fleet.api.doctor import Check, Grade
    from fleet.api.probes import TestMirrors

    try:
        late = client.test_mirrors(TestMirrors(host=host, wait_s=ANSWERS_WITHIN_S)).unanswered
    except AuthNeeded:
        return None
    told: dict[str, Any] = {"id": "host.answers", "subject": host}
    if late:
        fix = "look at the agent's log on that machine: journalctl -u fleet, or docker logs"
        return Check(**told, grade=Grade.FAIL, text="its agent did not answer in time", fix=fix)
    return Check(**told, grade=Grade.PASS, text="its agent answers, and looked at its mirrors just now")


def _ask(session: Session, host: str) -> "Diagnosis":
    """Return what the server says of itself and its hosts; where it cannot be asked, that is what is wrong."""
    from fleet.api.doctor import Check, Diagnosis, Grade

    with session.client() as client:
        try:
            with working(session, f"waiting for {clean(host)}" if host else "looking"):
                asked = _answers(client, host) if host else None
                told = client.doctor(host)
        except (Unreachable, AuthNeeded) as e:
            rest = Check(id="rest", grade=Grade.SKIP, text="everything else: only the server can look at it")
            text, _, fix = str(e).partition("; ")
            return Diagnosis(checks=(Check(id="server", grade=Grade.FAIL, text=text, fix=fix), rest))
        here = Check(id="server", grade=Grade.PASS, text=f"the server at {client.address} answers")
    return Diagnosis(checks=(here, *((asked,) if asked else ()), *told.checks))


def _show(session: Session, check: "Check") -> None:
    subject = f"{check.subject}: " if check.subject else ""
    click.echo(f"{paint(session, check.grade.value, f'{check.grade.value:<5}')}{clean(subject + check.text)}")
    if check.cause:
        click.echo(f"     cause: {clean(check.cause)}")
    if check.fix:
        click.echo(f"     fix:   {clean(check.fix)}")
