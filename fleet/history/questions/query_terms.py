"""What the terms of a query mean for the rows of ``updates``: one condition a term, true or false of any row."""

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, not_, or_, select

from fleet.history.questions.language import FAILURE, Term, Word
from fleet.history.sql.lookup import as_uuid
from fleet.history.sql.short_id import short_id
from fleet.history.tables.facts import FAILURES
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollouts
from fleet.ids import SHORT_DIGITS
from fleet.images.reference import Reference
from fleet.updates.outcome import Result

Columns = Any
"""The columns of ``updates``, or those of a part of it."""
Condition = ColumnElement[bool]

WHO = ("person", "token", "schedule", "rollout", "mqtt")
"""The kinds of those who ask; ``by:`` without a kind means each of them."""

_WHOLE_DIGEST = 64
"""The hex digits of a whole SHA-256 digest."""


def condition(u: Columns, term: Term, now: datetime, zone: tzinfo) -> Condition:
    """Return what must hold of a row; *now* and *zone* give relative and local times their meaning."""
    if term.when is not None:
        at = term.when.at(now, zone)
        moment: Condition = u.recorded_at >= at if term.word is Word.SINCE else u.recorded_at < at
        return moment
    fits = or_(*(_MEANS[term.word](u, value) for value in term.values))
    return not_(fits) if term.negated else fits


def hosts_of(value: str) -> Select[Any]:
    """Select the ids of the hosts that *value* names, those that were removed included: their history stays."""
    named = matching(hosts.c.name, value)
    id = as_uuid(value)
    return select(hosts.c.id).where(named if id is None else or_(named, hosts.c.id == id))


def rollouts_of(value: str) -> Select[Any]:
    """Select the ids of the rollouts that *value* names by number, or by the end of their id."""
    digits = value.removeprefix("#")
    found: list[Condition] = []
    if digits.isdigit():
        found.append(rollouts.c.number == int(digits))
    if len(value) == SHORT_DIGITS:
        found.append(short_id(rollouts.c.id) == value)
    return select(rollouts.c.id).where(or_(*found))


def digest_range(value: str) -> tuple[str, str]:
    """Return the digests that begin so: from the first up to, and without, the second."""
    algorithm, colon, digits = value.rpartition(":")
    begins = f"{algorithm if colon else 'sha256'}:{digits}"
    return begins, f"{begins}g"


def is_whole(value: str) -> bool:
    """Tell whether a digest has all its digits."""
    return len(value.rpartition(":")[2]) >= _WHOLE_DIGEST


def is_pattern(value: str) -> bool:
    """Tell whether *value* may mean several names."""
    return "*" in value or "?" in value


def matching(column: ColumnElement[str], value: str) -> Condition:
    """Return whether *column* is *value*, or fits its ``*`` and ``?``."""
    if not is_pattern(value):
        return column == value
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def results_of(values: tuple[str, ...]) -> set[Result]:
    """Return the results that the values of ``outcome:`` mean."""
    return {result for value in values for result in (FAILURES if value == FAILURE else (Result(value),))}


def asker(value: str) -> tuple[str, ...]:
    """Return the whole texts that ``by:`` *value* means."""
    return (value,) if ":" in value else tuple(f"{kind}:{value}" for kind in WHO)


def image(u: Columns, value: str) -> Condition:
    """Return whether a row is of the image: of its repository, and of its tag or digest where it has one."""
    reference = Reference.parse(value)
    found: Condition = u.repository == reference.name
    if reference.tag is not None:
        found &= u.image == f"{reference.name}:{reference.tag}"
    if reference.digest is not None:
        found &= u.new_digest == str(reference.digest)
    return found


def _digest(u: Columns, value: str) -> Condition:
    low, high = digest_range(value)
    if is_whole(value):
        return or_(u.new_digest == low, u.old_digest == low)
    return or_((u.new_digest >= low) & (u.new_digest < high), (u.old_digest >= low) & (u.old_digest < high))


def _rollout(u: Columns, value: str) -> Condition:
    whole = as_uuid(value)
    found: Condition = u.rollout_id == whole if whole is not None else u.rollout_id.in_(rollouts_of(value))
    return found


def _text(u: Columns, value: str) -> Condition:
    return or_(*(column.contains(value, autoescape=True) for column in (u.reason, u.container, u.image, u.mirror)))


_MEANS: Mapping[Word, Callable[[Columns, str], Condition]] = {
    Word.HOST: lambda u, value: u.host_id.in_(hosts_of(value)),
    Word.IMAGE: image,
    Word.CONTAINER: lambda u, value: matching(u.container, value),
    Word.DIGEST: _digest,
    Word.MIRROR: lambda u, value: u.mirror.contains(value, autoescape=True),
    Word.OUTCOME: lambda u, value: u.result.in_(results_of((value,))),
    Word.ROLLOUT: _rollout,
    Word.BY: lambda u, value: u.asked_by.in_(asker(value)),
    Word.TEXT: _text,
}


def ids(found: Any) -> list[UUID]:
    """Return the ids of a result with one column."""
    return list(found.scalars())
