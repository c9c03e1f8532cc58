"""Which outcomes are wanted, in the words that people use, and what that means for the rows."""

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from fleet.errors import BadInput
from fleet.history.fact_tables import updates
from fleet.history.inventory_tables import hosts
from fleet.history.lookup import as_uuid
from fleet.history.rollout_tables import rollouts
from fleet.images.reference import Reference
from fleet.updates.outcome import Result

_LEAST_DIGITS = 12
"""How many hex digits of a digest are enough to look for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFilter:
    """Which outcomes are wanted; an empty part wants all."""

    host: str = ""
    """A name, an id or a glob over names."""
    image: str = ""
    """A reference, with a tag or without."""
    digest: str = ""
    """Old or new; a prefix of at least 12 hex digits will do."""
    container: str = ""
    """A name or a glob."""
    mirror: str = ""
    """An endpoint, or a part of one."""
    outcome: Result | None = None
    since: datetime | None = None
    until: datetime | None = None
    by: str = ""
    """Who asked: the whole text (``person:anna``) or what follows the colon."""
    rollout: UUID | int | None = None
    """The id or the number of a rollout."""


def conditions(connection: Connection, filter: OutcomeFilter) -> list[ColumnElement[bool]]:
    """Return what the rows must satisfy; each part that is empty adds nothing."""
    found: list[ColumnElement[bool]] = []
    if filter.host:
        found.append(updates.c.host_id.in_(_hosts(connection, filter.host)))
    if filter.image:
        found.append(_image(filter.image))
    if filter.digest:
        found.append(_digest(filter.digest))
    if filter.container:
        found.append(_glob(updates.c.container, filter.container))
    if filter.mirror:
        found.append(updates.c.mirror.contains(_text(filter.mirror), autoescape=True))
    if filter.outcome is not None:
        found.append(updates.c.result == filter.outcome)
    if filter.since is not None:
        found.append(updates.c.recorded_at >= filter.since)
    if filter.until is not None:
        found.append(updates.c.recorded_at < filter.until)
    if filter.by:
        by = _text(filter.by)
        found.append(updates.c.asked_by == by if ":" in by else updates.c.asked_by.endswith(f":{by}", autoescape=True))
    if filter.rollout is not None:
        found.append(updates.c.rollout_id == _rollout(filter.rollout))
    return found


def _hosts(connection: Connection, wanted: str) -> list[UUID]:
    """Return the hosts that *wanted* means, those that were removed included: their history stays."""
    rows = connection.execute(select(hosts.c.id, hosts.c.name)).all()
    id = as_uuid(wanted)
    return [row.id for row in rows if row.id == id or fnmatchcase(row.name, wanted)]


def _image(wanted: str) -> ColumnElement[bool]:
    reference = Reference.parse(wanted)
    if reference.digest is not None:
        return updates.c.new_digest == str(reference.digest)
    if reference.tag is None:
        return updates.c.repository == reference.name
    return updates.c.image == f"{reference.name}:{reference.tag}"


def _digest(wanted: str) -> ColumnElement[bool]:
    digits = _text(wanted).partition(":")[2] or wanted
    if len(digits) < _LEAST_DIGITS or not all(sign in "0123456789abcdef" for sign in digits):
        raise BadInput(f"cannot look for the digest {wanted[:80]!r}; give at least {_LEAST_DIGITS} hex digits of it")
    algorithm = wanted.partition(":")[0] if ":" in wanted else "sha256"
    begins = f"{algorithm}:{digits}"
    return or_(_begins(updates.c.new_digest, begins), _begins(updates.c.old_digest, begins))


def _begins(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    # A range, which an index serves whatever the collation; LIKE is served by some only.
    return (column >= text) & (column < f"{text}g")


def _glob(column: ColumnElement[str], wanted: str) -> ColumnElement[bool]:
    text = _text(wanted)
    if not any(sign in text for sign in "*?"):
        return column == text
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def _rollout(wanted: UUID | int) -> Any:
    if isinstance(wanted, UUID):
        return wanted
    return select(rollouts.c.id).where(rollouts.c.number == wanted).scalar_subquery()


def _text(wanted: str) -> str:
    if "\0" in wanted:
        raise BadInput("cannot look for a text with a NUL in it")
    return wanted
