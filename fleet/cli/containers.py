"""``fleet ps`` and ``fleet outdated``: what runs where, and what its tag has moved past."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.console import Column, none_of, print_pages, say, working
from fleet.cli.listing import NamedListing, print_items
from fleet.cli.select import selecting
from fleet.cli.session import TABLE, Session, pass_session
from fleet.cli.words import NOTHING, ago, change, familiar, short_digest

if TYPE_CHECKING:
    from fleet.api.containers import Container, Freshness, Outdated
    from fleet.api.selectors import Selector

_PS = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("IMAGE"),
    Column("STATE"),
    Column("DIGEST", 2),
    Column("PLATFORM", 4),
    Column("SEEN", 3, by=attrgetter("seen_at")),
)
_OUTDATED = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("STATUS"),
    Column("IMAGE", 1),
    Column("DIGEST", 2),
    Column("CHECKED", 3, by=attrgetter("resolved_at")),
    Column("REASON", 4),
)

_FRESH = timedelta(seconds=30)
"""A check that is younger is not told of: it was just asked for."""


@click.command(cls=NamedListing)
@click.argument("patterns", nargs=-1, metavar="[HOST]...", shell_complete=completing.hosts)
@selecting
@pass_session
def ps(session: Session, patterns: tuple[str, ...], selector: "Selector") -> None:
    """List the containers of all hosts, or of those whose name fits HOST. With -q: host and container, for fleet update."""
    from fleet.api.containers import Container, Containers

    selector = selector.model_copy(update={"hosts": (*selector.hosts, *patterns)})
    with session.client() as client:
        pages = client.container_pages(selector)
        if print_pages(session, pages, "containers", lambda: Containers(containers=())):
            return
        print_items(
            session,
            _PS,
            (container for page in pages for container in page.containers),
            _container,
            none_of(selector),
            fields=Container,
            name=lambda c: f"{c.host} {c.name}",
        )


@click.command(cls=NamedListing)
@selecting
@click.option("--check", is_flag=True, help="Ask the registries now, instead of taking the last check.")
@pass_session
def outdated(session: Session, selector: "Selector", check: bool) -> None:
    """List the containers whose tag has moved on, or of which that is not known. With -q: host and container, as ps."""
    from fleet.api.containers import Freshness

    with session.client() as client:
        with working(session, "asking the registries" if check else "looking"):
            found = _Found(client.outdated_pages(selector, check=check))
        if print_pages(session, found.pages(), "containers", lambda: found.counted):
            return
        print_items(
            session,
            _OUTDATED,
            (container for page in found.pages() for container in page.containers),
            _freshness,
            lambda: _nothing(found.counted, selector),
            fields=Freshness,
            name=lambda c: f"{c.host} {c.container}",
        )
    if found.any and session.output == TABLE and not session.quiet:
        say(f"{_current(found.counted)}; see what an update would do with: fleet plan")


class _Found:
    """Pages of what is outdated as they come, of which the first is here already; what was counted adds up."""

    def __init__(self, pages: Iterator["Outdated"]) -> None:
        """Wait for the first page, in which the registries may be asked."""
        self._pages = pages
        self._first = next(pages)
        self.counted = self._first.model_copy(update={"containers": (), "next_page": None})
        """What all pages so far count, without their containers."""
        self.any = bool(self._first.containers)

    def pages(self) -> Iterator["Outdated"]:
        """Yield them."""
        yield self._first
        for page in self._pages:
            self.any = self.any or bool(page.containers)
            times = [at for at in (self.counted.checked_at, page.checked_at) if at]
            more = {"current": self.counted.current + page.current, "pinned": self.counted.pinned + page.pinned}
            self.counted = self.counted.model_copy(update={**more, "checked_at": min(times, default=None)})
            yield page


def _nothing(counted: "Outdated", selector: "Selector") -> str:
    """Return what is said where nothing is outdated."""
    return f"nothing is outdated; {_current(counted)}" if counted.current or counted.pinned else none_of(selector)


def _container(c: "Container") -> tuple[str, ...]:
    return (
        c.host,
        c.name,
        c.reference,
        c.health if c.health == "unhealthy" else c.state or NOTHING,
        short_digest(c.digests[0]) if c.digests else NOTHING,
        c.platform or NOTHING,
        ago(c.seen_at),
    )


def _freshness(c: "Freshness") -> tuple[str, ...]:
    return (
        c.host,
        c.container,
        c.status,
        familiar(c.image),
        change(c.old_digest, c.new_digest),
        ago(c.resolved_at),
        c.reason or NOTHING,
    )


def _current(answer: "Outdated") -> str:
    """Return how many are current, and since when nobody asked whether they still are; then how many follow no tag."""
    count = "1 container is current" if answer.current == 1 else f"{answer.current} containers are current"
    if answer.checked_at is not None and datetime.now(UTC) - answer.checked_at >= _FRESH:
        count += f", by a check {ago(answer.checked_at)} (fleet outdated --check asks anew)"
    return f"{count}; {answer.pinned} pinned to a digest" if answer.pinned else count
