"""Being sure before something is gone: what cannot be brought back is asked for where a person sits."""

import os
from collections.abc import Callable
from typing import Any

import click

from fleet.cli.session import Session
from fleet.errors import Refused


def unasked(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the option that lets it not ask, ``yes``."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def be_sure(session: Session, what: str, yes: bool) -> None:
    """Ask at a terminal whether *what* (``revoke the token ci``) is meant; a script is taken at its word.

    Raises Refused where it is not meant, or where nothing may be asked at a terminal.
    """
    if yes or session.dry_run or not (os.isatty(0) and os.isatty(2)):
        return
    if not session.may_ask():
        raise Refused(f"cannot {what} without being sure; add --yes")
    if not click.confirm(f"{what[0].upper()}{what[1:]}?", err=True):
        raise Refused(f"cannot {what}: it was not confirmed")
