"""By which index the rows of a query are read: always newest first, so that any page costs as much as the first.

A way is one or more *branches*: equalities that an index serves in the order of ids. What a query asks beyond them is
looked at row by row (see ``outcome_pages``).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, select

from fleet.history.fact_tables import FAILURES, IS_FAILURE, updates
from fleet.history.language import Query, Term, Word
from fleet.history.lookup import as_uuid
from fleet.history.query_terms import (
    Condition,
    asker,
    digest_range,
    hosts_of,
    ids,
    image,
    is_pattern,
    is_whole,
    results_of,
    rollouts_of,
)
from fleet.images.reference import Reference

MOST_BRANCHES = 20
"""The most branches that are read side by side; a term that needs more is looked at row by row."""

Branch = tuple[Condition, ...]
Ways = list[Branch]


def ways(connection: Connection, query: Query) -> Ways:
    """Return the branches that hold every row of *query*, the fewest rows that an index can tell apart.

    One empty branch: all rows. No branch: no row can fit.
    """
    asked = [term for term in query.terms if not term.negated]
    for way in _ORDER:
        found = way(connection, asked)
        if found is not None and len(found) <= MOST_BRANCHES:
            return found
    return [()]


def _branches(*columns: tuple[Any, Iterable[Any]]) -> Ways:
    """Return a branch for each value of each column."""
    return [(column == value,) for column, values in columns for value in values]


def _of(asked: list[Term], word: Word) -> Iterator[Term]:
    return (term for term in asked if term.word is word)


def _digest(connection: Connection, asked: list[Term]) -> Ways | None:
    for term in _of(asked, Word.DIGEST):
        whole = [digest for value in term.values for digest in _whole_digests(connection, value)]
        if len(whole) <= MOST_BRANCHES // 2:
            return _branches((updates.c.new_digest, whole), (updates.c.old_digest, whole))
    return None


def _whole_digests(connection: Connection, value: str) -> list[str]:
    low, high = digest_range(value)
    if is_whole(value):
        return [low]
    found = {
        digest
        for column in (updates.c.new_digest, updates.c.old_digest)
        for digest in distinct(connection, column, low=low, high=high, most=MOST_BRANCHES)
    }
    return sorted(found)


def _container(connection: Connection, asked: list[Term]) -> Ways | None:
    on = _host(connection, asked)
    names = next((t.values for t in _of(asked, Word.CONTAINER) if not any(map(is_pattern, t.values))), None)
    if on is None or names is None:
        return None
    return [(*branch, updates.c.container == name) for branch, name in product(on, names)]


def _rollout(connection: Connection, asked: list[Term]) -> Ways | None:
    for term in _of(asked, Word.ROLLOUT):
        found = set()
        for value in term.values:
            whole = as_uuid(value)
            found |= {whole} if whole else set(ids(connection.execute(rollouts_of(value).limit(MOST_BRANCHES + 1))))
        return _branches((updates.c.rollout_id, found))
    return None


def _failures(connection: Connection, asked: list[Term]) -> Ways | None:
    if not any(results_of(term.values) <= set(FAILURES) for term in _of(asked, Word.OUTCOME)):
        return None
    # The literal text of the index's own condition: with parameters, PostgreSQL could not prove that it fits.
    failed: ColumnElement[bool] = literal_column(f"({IS_FAILURE})")
    for term in _of(asked, Word.IMAGE):
        names = dict.fromkeys(Reference.parse(value).name for value in term.values)
        return [(updates.c.repository == name, failed) for name in names]
    return None


def _host(connection: Connection, asked: list[Term]) -> Ways | None:
    for term in _of(asked, Word.HOST):
        found = set()
        for value in term.values:
            found |= set(ids(connection.execute(hosts_of(value).limit(MOST_BRANCHES + 1))))
        if len(found) <= MOST_BRANCHES:
            return _branches((updates.c.host_id, found))
    return None


def _image(_connection: Connection, asked: list[Term]) -> Ways | None:
    for term in _of(asked, Word.IMAGE):
        return [(image(updates.c, value),) for value in term.values]
    return None


def _mirror(connection: Connection, asked: list[Term]) -> Ways | None:
    for term in _of(asked, Word.MIRROR):
        known = distinct(connection, updates.c.mirror, most=MOST_MIRRORS)
        if len(known) < MOST_MIRRORS:
            named = [each for each in known if any(value in each for value in term.values)]
            return _branches((updates.c.mirror, named))
    return None


MOST_MIRRORS = 200
"""How many endpoints are looked through for those that a part names."""


def _outcome(_connection: Connection, asked: list[Term]) -> Ways | None:
    found = (results_of(term.values) for term in _of(asked, Word.OUTCOME))
    return next((_branches((updates.c.result, sorted(each))) for each in found), None)


def _by(_connection: Connection, asked: list[Term]) -> Ways | None:
    found = ([who for value in term.values for who in asker(value)] for term in _of(asked, Word.BY))
    return next((_branches((updates.c.asked_by, dict.fromkeys(each))) for each in found), None)


_ORDER: tuple[Callable[[Connection, list[Term]], Ways | None], ...] = (
    _digest,
    _container,
    _rollout,
    _failures,
    _host,
    _image,
    _mirror,
    _by,
    _outcome,
)
"""Those that leave the fewest rows stand first."""


def distinct(
    connection: Connection, column: ColumnElement[str], *, low: str = "", high: str = "", most: int
) -> list[str]:
    """Return at most *most* of the different values of an indexed column, each found by one step in its index."""
    upper = [column < high] if high else []
    first = select(column.label("value")).where(column >= low, *upper).order_by(column).limit(1).scalar_subquery()
    chain = select(first.label("value")).cte("chain", recursive=True)
    following = select(column).where(column > chain.c.value, *upper).order_by(column).limit(1)
    step = select(following.correlate(chain).scalar_subquery()).where(chain.c.value.is_not(None))
    whole = chain.union_all(step)
    query: Any = select(whole.c.value).where(whole.c.value.is_not(None)).limit(most)
    return list(connection.execute(query).scalars())
