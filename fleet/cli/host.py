"""``fleet host``: the machines of the fleet."""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, paint, print_answer, print_json, print_pages, say
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.session import Branch, Session, pass_session
from fleet.cli.sure import unasked
from fleet.cli.turns import turn_words
from fleet.cli.words import NOTHING, ago, moment, pairs, read_pairs
from fleet.errors import BadInput, Refused

if TYPE_CHECKING:
    from fleet.api.hosts import Host, HostAdded, Hosts

_COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("SEEN", by=attrgetter("last_seen_at")),
    Column("LABELS", 3),
    Column("AGENT", 2),
    Column("ENGINE", 1),
    Column("PLATFORM", 4),
    Column("PROBLEMS", 0, right=True),
)
_NEW = "never heard of; run there: fleet agent --join FILE"
_NONE, _NO_FIT = "no hosts; add one with: fleet host add NAME", "no host fits; see: fleet host ls"


@click.group(cls=Branch)
def host() -> None:
    """Add, look at, rename, remove hosts, and let them join again."""


@host.command("add")
@click.argument("name")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="A label of the host; may be repeated.")
@click.option("--out", type=click.Path(), help="Where to write the join file; - is stdout. Default: NAME.join here.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@pass_session
def add(session: Session, name: str, labels: tuple[str, ...], out: str | None, force: bool) -> None:
    """Add a host, and write the join file that its agent takes.

    The host's key and password are made here; the centre learns their public sides alone.
    """
    from fleet.cli.joining import enrol

    path = _target(name, out, force)
    with session.client() as client:
        added, text = enrol(client, name, read_pairs(labels), path)
    _print_joining(session, added, text, path, f"host {added.host.name} added")


@host.command("rejoin")
@click.argument("name", shell_complete=completing.hosts)
@click.option("--out", type=click.Path(), help="Where to write the join file; - is stdout. Default: NAME.join here.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@pass_session
def rejoin(session: Session, name: str, out: str | None, force: bool) -> None:
    """Write a new join file for a host that is known: its state is lost, or its key must be replaced.

    Its old key and password are void at once: an agent that has them is cut off until it takes the new file. Name,
    labels, history and policy stay.
    """
    from fleet.cli.joining import rejoin as join_again

    path = _target(name, out, force)
    with session.client() as client:
        added, text = join_again(client, name, path)
    _print_joining(session, added, text, path, f"host {added.host.name} has a new key, the old one is void")


@host.command("ls", cls=NamedListing)
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Hosts that have the label.")
@click.argument("patterns", nargs=-1, shell_complete=completing.hosts)
@pass_session
def ls(session: Session, labels: tuple[str, ...], patterns: tuple[str, ...]) -> None:
    """List the hosts, or those whose name fits one of PATTERNS."""
    from fleet.api.hosts import Host, Hosts
    from fleet.api.selectors import Selector

    selector = build(Selector, hosts=patterns, labels=read_pairs(labels))
    refused: list[str] = []
    with session.client() as client:
        pages = client.host_pages(selector)
        if print_pages(session, pages, "hosts", lambda: Hosts(hosts=())):
            return
        none = _NO_FIT if patterns or labels else _NONE
        print_items(session, _COLUMNS, _noting(pages, refused), _cells, none, fields=Host, name=lambda h: h.name)
    for why in refused:
        say(clean(why))


def _noting(pages: Iterator["Hosts"], refused: list[str]) -> Iterator["Host"]:
    """Yield the hosts of *pages*, and note why some are *refused*."""
    for page in pages:
        for h in page.hosts:
            if h.refused:
                refused.append(h.refused)
            yield h


def _cells(h: "Host") -> tuple[str, ...]:
    return (
        h.name,
        "refused" if h.refused else h.state,
        ago(h.last_seen_at),
        pairs(h.labels),
        h.agent_version or NOTHING,
        h.engine_version or NOTHING,
        _platform(h),
        str(len(h.problems)) if h.problems else NOTHING,
    )


@host.command("show")
@click.argument("name", shell_complete=completing.hosts)
@pass_session
def show(session: Session, name: str) -> None:
    """Show what is known of a host: its engine, problems and mirrors, and where it stands in the newest rollouts."""
    with session.client() as client:
        answer = client.host(name)
    if print_answer(session, answer):
        return
    h = answer.host
    facts = {
        "name": h.name,
        "id": h.id.hex,
        "state": f"{paint(session, h.state)}, " + (f"last seen {ago(h.last_seen_at)}" if h.last_seen_at else _NEW),
        "labels": clean(pairs(h.labels)),
        "agent": clean(h.agent_version) or NOTHING,
        "engine": clean(" ".join(part for part in (h.engine_name, h.engine_version) if part)) or NOTHING,
        "platform": clean(_platform(h)) + (", containerd store" if h.containerd_store else ""),
        "pulls": f"{answer.tier}, last {ago(answer.tier_at)}" if answer.tier else "nothing yet",
        "clock": f"{h.skew_ms / 1000:+.1f} s against the centre's" if h.skew_ms is not None else NOTHING,
        "outcomes": f"{h.outcomes_waiting} waiting to be told",
        "added": moment(h.created_at),
    }
    for label, value in facts.items():
        click.echo(f"{label + ':':<10}{value}")
    if h.refused:
        click.echo(f"refused:  {clean(h.refused)}")
    for problem in h.problems:
        click.echo(f"problem:  {clean(problem)}")
    for turn in answer.turns:
        click.echo(clean(f"rollout:  {turn_words(turn)}"))
    for rule in answer.mirrors:
        click.echo(f"mirror:   {clean(rule.endpoint)} for {clean(rule.for_registry)} ({clean(rule.where)})")


@host.command("rename")
@click.argument("name", shell_complete=completing.hosts)
@click.argument("new_name")
@pass_session
def rename(session: Session, name: str, new_name: str) -> None:
    """Give a host another name; its history, queue and key stay."""
    from fleet.api.hosts import ChangeHost

    with session.client() as client:
        answer = client.change_host(name, build(ChangeHost, name=new_name))
    if not print_answer(session, answer):
        click.echo(f"host {name} is called {answer.host.name} now")


@host.command("label")
@click.argument("name", shell_complete=completing.hosts)
@click.argument("labels", nargs=-1, metavar="[K=V]...")
@click.option("--drop", multiple=True, metavar="K", help="Take this label away; may be repeated.")
@click.option("--only", is_flag=True, help="These labels and no others.")
@pass_session
def label(session: Session, name: str, labels: tuple[str, ...], drop: tuple[str, ...], only: bool) -> None:
    """Give a host labels beside those that it has, and take some away."""
    from fleet.api.hosts import ChangeHost

    if only and drop:
        raise BadInput(
            "cannot drop labels of a host that shall have --only those that are named; leave out one of the two"
        )
    if not (labels or drop or only):
        raise BadInput(f"cannot label {name} with nothing; give K=V, --drop K, or --only to take all labels away")
    given = read_pairs(labels)
    change = build(ChangeHost, labels=given) if only else build(ChangeHost, set_labels=given, drop_labels=drop)
    with session.client() as client:
        answer = client.change_host(name, change)
    if not print_answer(session, answer):
        click.echo(f"host {answer.host.name}: {pairs(answer.host.labels)}")


@host.command("rm")
@click.argument("name", shell_complete=completing.hosts)
@unasked
@pass_session
def rm(session: Session, name: str, yes: bool) -> None:
    """Remove a host: its agent is cut off, its containers run on, its history stays."""
    with session.client() as client:
        found = client.host(name).host
        _confirm(session, found.name, yes)
        answer = client.remove_host(found.id.hex)
    if not print_answer(session, answer):
        click.echo(f"host {found.name} removed; its containers run on, its history stays")


def _confirm(session: Session, name: str, yes: bool) -> None:
    if yes:
        return
    if not session.may_ask():
        raise Refused(f"cannot remove {name} without being sure; add --yes")
    typed = click.prompt(f"Type {name} to remove it", err=True, default="", show_default=False)
    if typed != name:
        raise Refused(f"cannot remove {name}: another name was typed")


def _target(name: str, out: str | None, force: bool) -> Path | None:
    """Return where the join file goes, None for stdout; raise BadInput or Refused where it cannot go there."""
    path = None if out == "-" else Path(out or f"{name}.join")
    if path is not None:
        _check_target(path, force)
    return path


def _print_joining(session: Session, added: "HostAdded", text: str, path: Path | None, done: str) -> None:
    if path is None:
        click.echo(text, nl=False)
    elif session.json:
        print_json({**added.document(), "join_file": str(path)})
    else:
        click.echo(f"{done}; join file: {path} (as secret as a key)")
        say(f"copy it to the host, and run there: fleet agent --join {path.name}")


def _check_target(path: Path, force: bool) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise BadInput(f"cannot write the join file {path}: name a file in a folder that is there, with --out")
    if path.exists() and not force:
        raise Refused(f"cannot overwrite {path}; name another with --out, or add --force")


def _platform(host: "Host") -> str:
    return f"{host.os}/{host.architecture}" if host.os else NOTHING
