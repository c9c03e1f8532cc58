"""``fleet doctor``: what is wrong, why, and what to do about it."""

from typing import TYPE_CHECKING

import click

from fleet.cli.console import clean, paint, print_answer, working
from fleet.cli.session import Leaf, Session
from fleet.errors import AuthNeeded, Unreachable

if TYPE_CHECKING:
    from fleet.api.doctor import Check, Diagnosis

_ABSENT = "kinds of trouble were looked for and not found; each stands in: fleet doctor -o json"
FAILED = 1
"""The exit code where anything does not work."""


@click.command(cls=Leaf)
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what is wrong, why, and what to do about it. Exit 1 where anything does not work."""
    from fleet.api.doctor import Check, Grade

    session = ctx.ensure_object(Session)
    diagnosis = _ask(session)
    if not print_answer(session, diagnosis):
        for check in diagnosis.checks:
            if not check.absent:
                _show(session, check)
        if absent := sum(check.absent for check in diagnosis.checks):
            _show(session, Check(id="absent", grade=Grade.PASS, text=f"{absent} {_ABSENT}"))
    if diagnosis.failed:
        ctx.exit(FAILED)


def _ask(session: Session) -> "Diagnosis":
    """Return what the server says of itself and its hosts; where it cannot be asked, that is what is wrong."""
    from fleet.api.doctor import Check, Diagnosis, Grade

    with session.client() as client:
        try:
            with working(session, "looking"):
                told = client.doctor()
        except (Unreachable, AuthNeeded) as e:
            rest = Check(id="rest", grade=Grade.SKIP, text="everything else: only the server can look at it")
            text, _, fix = str(e).partition("; ")
            return Diagnosis(checks=(Check(id="server", grade=Grade.FAIL, text=text, fix=fix), rest))
        here = Check(id="server", grade=Grade.PASS, text=f"the server at {client.address} answers")
    return Diagnosis(checks=(here, *told.checks))


def _show(session: Session, check: "Check") -> None:
    subject = f"{check.subject}: " if check.subject else ""
    click.echo(f"{paint(session, check.grade.value, f'{check.grade.value:<5}')}{clean(subject + check.text)}")
    if check.cause:
        click.echo(f"     cause: {clean(check.cause)}")
    if check.fix:
        click.echo(f"     fix:   {clean(check.fix)}")
