"""``fleet policy``: which mirrors hosts use and how they update, written as a file."""

import difflib
import json
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import clean, print_answer, print_json, say
from fleet.cli.session import Branch, Session, pass_session, trying
from fleet.cli.sure import be_sure, unasked
from fleet.cli.words import moment, read_pairs
from fleet.errors import BadInput

if TYPE_CHECKING:
    from fleet.api.policies import Policies, SetPolicy


@click.group(cls=Branch)
def policy() -> None:
    """Say which mirrors hosts use, and how they update."""


@policy.command("show")
@click.option(
    "--host",
    metavar="NAME",
    shell_complete=completing.hosts,
    help="Also what holds for this host: fleet, then labels, then its own.",
)
@pass_session
def show(session: Session, host: str | None) -> None:
    """Show the policies as they were written."""
    with session.client() as client:
        answer = client.policies(host)
    if print_answer(session, answer):
        return
    for p in answer.policies:
        whose = p.kind.value if not p.subject else f"{p.kind.value} {p.subject}"
        click.echo(f"# {clean(whose)}, version {p.version}, by {clean(p.changed_by)}, {moment(p.changed_at)}")
        print_json(p.document)
    if not answer.policies:
        click.echo("no policy was written; write one with: fleet policy apply -f FILE", err=True)
    if answer.effective is not None:
        click.echo(f"# holds for {host}")
        print_json(answer.effective)


_WRITTEN = (
    click.option("-f", "--file", "file", required=True, metavar="FILE", help="TOML or JSON; - is stdin."),
    click.option(
        "--host", metavar="NAME", shell_complete=completing.hosts, help="For this host; by default for the whole fleet."
    ),
    click.option("--label", metavar="K=V", help="For every host that has the label."),
)


def _writing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that say what is written, and for whom."""
    for option in reversed(_WRITTEN):
        command = option(command)
    return command


@policy.command("apply")
@_writing
@trying
@pass_session
def apply(session: Session, file: str, host: str | None, label: str | None) -> None:
    """Write the policy of the fleet, of a label, or of a host; it replaces the one before.

    \b
    [[mirrors]]
    for = "docker.io"                # a registry, or "*" for all
    url = "https://harbor.lan/hub"
    shape = "harbor"                 # plain, harbor, artifactory, ...
    """
    _write(session, _read_some(file), host, label)


@policy.command("diff")
@_writing
@pass_session
def diff(session: Session, file: str, host: str | None, label: str | None) -> None:
    """Show what ``fleet policy apply`` of FILE would change, line by line, and write nothing."""
    asked = _asked(_read_some(file), host, label)
    with session.client() as client:
        before = _written(client.policies(asked.subject if host else None), asked)
    if session.json:
        print_json({"changes": before != asked.document, "before": before, "after": asked.document})
        return
    lines = list(difflib.unified_diff(_lines(before), _lines(asked.document), "written", clean(file), lineterm=""))
    for line in lines:
        click.echo(clean(line))
    if not lines:
        click.echo("it changes nothing", err=True)


@policy.command("rm")
@click.option(
    "--host", metavar="NAME", shell_complete=completing.hosts, help="Of this host; by default of the whole fleet."
)
@click.option("--label", metavar="K=V", help="Of every host that has the label.")
@unasked
@trying
@pass_session
def remove(session: Session, host: str | None, label: str | None, yes: bool) -> None:
    """Take the policy of the fleet, of a label, or of a host away. Asks first at a terminal."""
    be_sure(session, f"take the policy of {clean(host or label or 'the whole fleet')} away", yes)
    _write(session, {}, host, label)


def _write(session: Session, document: dict[str, Any], host: str | None, label: str | None) -> None:
    """Write *document*; an empty one takes away what was written."""
    asked = _asked(document, host, label)
    with session.client() as client:
        before = _written(client.policies(), asked)
        answer = client.set_policy(asked)
    if not print_answer(session, answer):
        written = next((p for p in answer.policies if (p.kind, p.subject) == (asked.kind, asked.subject)), None)
        version = f"version {written.version}" if written else "taken away"
        click.echo(
            f"policy of {asked.kind.value} {asked.subject}".rstrip() + f": {version}; it holds from the next order on"
        )
    if document and (gone := [key for key in before if key not in document]):
        say(clean(f"what it had before and has no more: {', '.join(gone)}; a policy is written as a whole"))
    if document.get("mirrors"):
        say("see how its mirrors do from the hosts: fleet mirror test")


def _asked(document: dict[str, Any], host: str | None, label: str | None) -> "SetPolicy":
    from fleet.api.policies import SetPolicy

    if host and label:
        raise BadInput("cannot write one policy for a host and a label; name one of them")
    kind = "host" if host else "label" if label else "fleet"
    if label:
        read_pairs((label,))
    return build(SetPolicy, kind=kind, subject=host or label or "", document=document)


def _written(answer: "Policies", asked: "SetPolicy") -> Mapping[str, Any]:
    """Return the document that stands where *asked* would be written; empty: none does."""
    return next((p.document for p in answer.policies if (p.kind, p.subject) == (asked.kind, asked.subject)), {})


def _lines(document: Mapping[str, Any]) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).splitlines() if document else []


def _read_some(file: str) -> dict[str, Any]:
    document = _read(file)
    if not document:
        raise BadInput(f"cannot use the policy {file}: it says nothing; to take a policy away: fleet policy rm")
    return document


def _read(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read the policy {file}: {getattr(e, 'strerror', None) or 'not a text file'}") from e
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as e:
        raise BadInput(f"cannot read the policy {file}: {e}") from None
    if not isinstance(document, dict):
        raise BadInput(f"cannot use the policy {file}: expected a table")
    return document
