"""``fleet mirror``: which mirrors there are, and which way an image would take."""

import sys
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.console import Column, clean, paint, print_answer, say, working
from fleet.cli.listing import Listing, print_items
from fleet.cli.session import TABLE, Branch, Session, pass_session
from fleet.cli.words import NOTHING, seconds, short_digest, size
from fleet.rollouts.naming import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet.api.mirrors import HostRoute, MirrorEntry, RouteStop
    from fleet.api.probes import AuditFinding, ProbeEntry
    from fleet.api.questions import Compared, ComparedAnswer, MirrorDay

_COLUMNS = (
    Column("HOST"),
    Column("FOR"),
    Column("MIRROR"),
    Column("FROM", 1),
    Column("WHERE", 3),
    Column("TLS", 2),
    Column("AUTH", 2),
    Column("PROXY", 2),
)

_PROBES = (
    Column("HOST"),
    Column("FOR"),
    Column("MIRROR"),
    Column("STATE"),
    Column("TOOK"),
    Column("SPEED", 2, by=attrgetter("bytes_per_s")),
    Column("TLS UNTIL", 2),
    Column("WHY", 1),
)
_FINDINGS = (Column("GRADE"), Column("HOST"), Column("CODE"), Column("WHAT"))
_DAYS = (
    Column("DAY"),
    Column("MIRROR"),
    Column("PULLS", right=True),
    Column("SERVED", right=True),
    Column("FAILURES", right=True),
    Column("FALLBACKS", 1, right=True),
    Column("BYTES", right=True, by=attrgetter("bytes")),
    Column("TIME", 2, right=True, by=attrgetter("duration_ms")),
)


@click.group(cls=Branch)
def mirror() -> None:
    """Look at mirrors and at the route of an image."""


@mirror.command("ls", cls=Listing)
@click.option("--host", metavar="NAME", shell_complete=completing.hosts, help="Of this host alone, with policy.")
@pass_session
def ls(session: Session, host: str | None) -> None:
    """List the mirror rules of policy and of every host's own files."""
    from fleet.api.mirrors import MirrorEntry

    with session.client() as client:
        answer = client.mirrors(host)
    if print_answer(session, answer):
        return
    if answer.tier:
        say(f"{clean(host or '')} got its last image by the way {answer.tier}")
    if answer.fastest_on:
        say(f"the fastest mirror is asked first on {clean(named(answer.fastest_on))}; see: fleet mirror explain IMAGE")
    none = "no mirrors; write some into the policy with: fleet policy apply -f FILE"
    print_items(session, _COLUMNS, answer.mirrors, _rule, none, fields=MirrorEntry)


def _rule(m: "MirrorEntry") -> tuple[str, ...]:
    return (
        m.host or f"(policy) {m.holds_on}".rstrip(),
        m.for_registry,
        m.endpoint,
        m.provenance.value,
        m.where or NOTHING,
        "unchecked" if m.insecure else "checked" if m.endpoint.startswith("https") else "none",
        m.auth,
        m.proxy or NOTHING,
    )


@mirror.command("explain")
@click.argument("image", shell_complete=completing.images)
@click.option(
    "--host",
    metavar="NAME",
    shell_complete=completing.hosts,
    help="On this host; by default on every host that runs the image.",
)
@click.option(
    "--ask",
    is_flag=True,
    help="Let each source be asked for IMAGE now: mirrors by the hosts, its registry by the centre.",
)
@pass_session
def explain(session: Session, image: str, host: str | None, ask: bool) -> None:
    """Say where IMAGE would be pulled from, in order, why, and what each source last answered."""
    from fleet.api.probes import TestMirrors

    with session.client() as client:
        if ask:
            with working(session, "waiting for the hosts"):
                late = client.test_mirrors(TestMirrors(host=host or "", image=image)).unanswered
            for name in late:
                say(f"{clean(name)} did not answer in time")
        answer = client.explain(image, host)
    if print_answer(session, answer):
        return
    click.echo(f"{clean(answer.image)} is {answer.reference}")
    if answer.digest:
        when = f" at {answer.resolved_at:%Y-%m-%d %H:%M} UTC" if answer.resolved_at else ""
        click.echo(f"its tag has {short_digest(answer.digest)}, as {clean(answer.endpoint) or 'a host'} said{when}")
    else:
        click.echo("what its tag has is not known" + (f": {clean(answer.reason)}" if answer.reason else ""))
    for routes in _together(answer.routes):
        _show_route(routes)


def _together(routes: "Iterable[HostRoute]") -> "list[list[HostRoute]]":
    """Return *routes* with those together that differ by their host, and by when and how fast it was answered, alone."""
    groups: dict[tuple[object, ...], list[HostRoute]] = {}
    for route in routes:
        sources = tuple((_stop(s), s.state, s.digest, s.state_reason, s.looked_at is None) for s in route.sources)
        groups.setdefault((route.strategy, sources, route.skipped), []).append(route)
    return list(groups.values())


def _show_route(routes: "Sequence[HostRoute]") -> None:
    route = routes[0]
    order = ", the fastest mirror first" if route.strategy.value == "fastest" else ""
    hosts = clean(named([each.host for each in routes])) or "a host without mirrors of its own"
    click.echo(f"{hosts}{order}:")
    for number, stops in enumerate(zip(*(each.sources for each in routes), strict=True), start=1):
        stop = stops[0]
        click.echo(f"  {number} {_stop(stop)}" + (f"  {_seen(stops)}" if stop.looked_at else ""))
        if stop.state_reason:
            click.echo(f"      {clean(stop.state_reason)}")
    for skipped in route.skipped:
        click.echo(f"  - {clean(skipped.endpoint)}  not asked: {clean(skipped.reason)}")


def _seen(stops: "Sequence[RouteStop]") -> str:
    """Return what a source was when hosts last asked it (the first of them), and what it said of this image, if it was asked."""
    stop = stops[0]
    told = f"  {short_digest(stop.digest)}" if stop.digest else ""
    took = [each.took_ms for each in stops if each.took_ms is not None]
    within = "" if not took else f" in {took[0]} ms" if len(stops) == 1 else f" in {min(took)} to {max(took)} ms"
    looked_at = min(each.looked_at for each in stops if each.looked_at)
    return clean(f"{stop.state} at {looked_at:%Y-%m-%d %H:%M} UTC{within}{told}")


def _stop(stop: "RouteStop") -> str:
    """Return a source, whose it is, and how it is asked where that is not as usual."""
    mirror_of = "global mirror" if stop.for_registry == "*" else f"mirror of {stop.for_registry}"
    words = [
        "the origin" if stop.role.value == "origin" else mirror_of,
        f"({stop.where})" if stop.where else "",
        "without a login" if stop.auth == "none" else f"as {stop.auth}" if stop.auth != "config" else "",
        "without a proxy" if stop.proxy == "none" else f"by the proxy {stop.proxy}" if stop.proxy else "",
        f"{stop.bytes_per_s / 1e6:.1f} MB/s" if stop.bytes_per_s else "",
    ]
    return clean(f"{stop.endpoint}  {' '.join(filter(None, words))}")


@mirror.command("test", cls=Listing)
@click.argument("host", required=False, default="", shell_complete=completing.hosts)
@pass_session
@click.pass_context
def test(ctx: click.Context, session: Session, host: str) -> None:
    """Let HOST, or every host, look at its mirrors now. Exit 1 where one is not well, 7 where a host did not answer."""
    from fleet.api.probes import ProbeEntry, TestMirrors

    with session.client() as client, working(session, "waiting for the hosts"):
        answer = client.test_mirrors(TestMirrors(host=host))
    if not print_answer(session, answer):
        # A terminal has no room for reasons in a table, which are what somebody does something by.
        watched = sys.stdout.isatty() and session.output == TABLE and not session.columns
        columns = _PROBES[:-1] if watched else _PROBES
        none = "no mirrors were looked at"
        print_items(session, columns, answer.probes, lambda p: _probe(p)[: len(columns)], none, fields=ProbeEntry)
        for p in answer.probes if watched else ():
            if p.reason:
                click.echo(clean(f"{p.host}: {p.mirror} is {p.state.value}: {p.reason}"))
        for name in answer.unanswered:
            click.echo(f"{clean(name)} did not answer in time", err=True)
    if any(p.state.value != "ok" for p in answer.probes):
        ctx.exit(1)
    if answer.unanswered:
        ctx.exit(7)


def _probe(p: "ProbeEntry") -> tuple[str, ...]:
    return (
        p.host,
        p.registry,
        p.mirror,
        p.state.value,
        f"{p.duration_ms} ms",
        f"{p.bytes_per_s / 1e6:.1f} MB/s" if p.bytes_per_s is not None else NOTHING,
        f"{p.tls_not_after:%Y-%m-%d}" if p.tls_not_after else NOTHING,
        p.reason or NOTHING,
    )


@mirror.command("audit", cls=Listing)
@pass_session
@click.pass_context
def audit(ctx: click.Context, session: Session) -> None:
    """Compare how mirrors are configured and used over the fleet. Exit 1 where something must not stay so."""
    from fleet.api.probes import AuditFinding

    with session.client() as client:
        answer = client.audit_mirrors()
    if not print_answer(session, answer):
        # Nor has it for what is wrong.
        watched = sys.stdout.isatty() and session.output == TABLE and not (session.columns or session.sort)
        if answer.findings and watched:
            for (grade, code, text), hosts in _by_text(answer.findings).items():
                click.echo(f"{paint(session, grade)} {clean(f'{named(hosts)}: {code}: {text}')}")
        else:
            none = f"nothing is wrong with the mirrors of {answer.hosts} host{'s'[: answer.hosts != 1]}"
            print_items(session, _FINDINGS, answer.findings, _finding, none, fields=AuditFinding)
    if any(f.failed for f in answer.findings):
        ctx.exit(1)


def _by_text(findings: "Iterable[AuditFinding]") -> dict[tuple[str, str, str], list[str]]:
    """Return what was found with the hosts that it was found on, what must not stay so first."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for grade, host, code, text in sorted(map(_finding, findings), key=itemgetter(0)):
        found.setdefault((grade, code, text), []).append(host)
    return found


def _finding(f: "AuditFinding") -> tuple[str, ...]:
    return "FAIL" if f.failed else "WARN", f.host, f.code, f.text


@mirror.command("stats", cls=Listing)
@click.option("--since", default="30d", show_default=True, metavar="WHEN", help="From when on.")
@pass_session
def stats(session: Session, since: str) -> None:
    """Tell how each mirror did, day by day."""
    from fleet.api.questions import MirrorDay

    with session.client() as client:
        answer = client.mirror_days(since=since)
        compared = client.compared() if answer.days and session.output == TABLE else None
    if print_answer(session, answer):
        return
    print_items(session, _DAYS, answer.days, _day, f"nothing was pulled (--since {since})", fields=MirrorDay)
    if compared is not None and compared.rows:
        say(f"of the newest pulls, {_worth_of_all(compared)}; see: fleet history compared")


def _day(d: "MirrorDay") -> tuple[str, ...]:
    return (
        d.day,
        d.mirror,
        str(d.pulls),
        str(d.served),
        str(d.failures),
        str(d.fallbacks),
        size(d.bytes),
        seconds(d.duration_ms),
    )


def _worth_of_all(compared: "ComparedAnswer") -> str:
    """Return what mirrors were worth: how pulls did with and without them, what failed, what the registries were spared."""
    words = [*map(_worth, compared.rows), f"{compared.failed} failed"]
    spared = sum(row.bytes for row in compared.rows if row.role.value == "mirror")
    if spared:
        words.append(
            f"and the registries were spared {size(spared)} of {size(sum(row.bytes for row in compared.rows))}"
        )
    return ", ".join(words)


def _worth(row: "Compared") -> str:
    whom = "mirrors" if row.role.value == "mirror" else "the registries themselves"
    return f"{row.pulls} came from {whom} ({size(row.bytes)}, {seconds(row.p50_ms)} in the middle, {size(row.bytes_per_s)}/s)"
