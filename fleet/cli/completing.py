"""Names of the fleet for a shell that completes: asked of the server, kept for a minute, and never waited for long.

Where the server does not answer in time, or may not be asked, there are no names, and no word of why: the line that is
being typed stays as it is.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from fleet.cli.session import Session

BUDGET_S = 0.3
"""The most seconds that a key press waits for the server."""
STDIN = "-"
KEPT_S = 60
"""How many seconds names are taken as they were last told."""


class Question(NamedTuple):
    """What the server is asked, and where in its answer the names stand."""

    path: str
    query: tuple[tuple[str, str], ...]
    items: str
    name: str


Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(path: str, items: str, name: str, pattern: str = "") -> Complete:
    """Return what completes by *name* of the *items* at *path*; the server is asked by *pattern* for those that fit alone."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        query = [(pattern, f"{incomplete}*")] if pattern and incomplete else []
        return _fitting(ctx, Question(path, tuple(query), items, name), incomplete)

    return complete


hosts = _completer("/hosts", "hosts", "name", "host")
schedules = _completer("/schedules", "schedules", "name")
tokens = _completer("/tokens", "tokens", "name")
receivers = _completer("/receivers", "receivers", "name")
channels = _completer("/channels", "channels", "name")
caps = _completer("/caps", "caps", "label")
rollouts = _completer("/rollouts", "rollouts", "number")
images = _completer("/containers", "containers", "reference")


def containers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a container, of the host that stands before it where one does."""
    host = ctx.params.get("host")
    query = (("host", str(host)),) if host else ()
    return _fitting(ctx, Question("/containers", query, "containers", "name"), incomplete)


def host_and_container(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a host or a container where nothing stands before it, else a container of the host that does."""
    before = ctx.params.get(str(param.name))
    query = (("host", str(before[0])),) if before else ()
    running = Question("/containers", query, "containers", "name")
    return _fitting(ctx, running, incomplete, *(() if before else (Question("/hosts", (), "hosts", "name"),)))


def _fitting(ctx: click.Context, question: Question, incomplete: str, *more: Question) -> list[str]:
    """Return the names that begin with *incomplete*, from what is kept or within the one budget for all questions."""
    session = ctx.ensure_object(Session)
    found: list[str] = []

    def look() -> None:
        # Whatever it is, there are no names then; a word of why would stand in the middle of what is being typed.
        with contextlib.suppress(Exception):
            for each in (question, *more):
                found.extend(_kept_or_asked(session, each))

    # The thread is left alone where it is late; Python ends without waiting for it.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(BUDGET_S)
    return sorted({name for name in found if name.startswith(incomplete)})


def _kept_or_asked(session: Session, question: Question) -> list[str]:
    if session.token_file == STDIN:
        return []  # what stands on stdin is not for a key press
    from fleet.client.quick import ask

    address = session.address()
    kept = _place(f"{address} {question} {hashlib.sha256(address.token.encode()).hexdigest()}")
    if (names := _read(kept)) is not None:
        return names
    document = ask(address, question.path, list(question.query), timeout=BUDGET_S)
    names = [str(item[question.name]) for item in document[question.items]]
    _keep(kept, names)
    return names


def _place(about: str) -> Path:
    """Return the file that keeps one list of names: of this server, for this token."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fleet" / f"complete-{hashlib.sha256(about.encode()).hexdigest()[:32]}.json"


def _read(kept: Path) -> list[str] | None:
    try:
        if time.time() - kept.stat().st_mtime > KEPT_S:
            return None
        names = json.loads(kept.read_bytes())
    except (OSError, ValueError):
        return None
    return names if isinstance(names, list) else None


def _keep(kept: Path, names: list[str]) -> None:
    """Write names for its owner alone, and give up those that nobody takes any more."""
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in kept.parent.glob("complete-*"):
        if time.time() - old.stat().st_mtime > KEPT_S:
            old.unlink(missing_ok=True)
    fresh = kept.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(names, file)
    fresh.replace(kept)
