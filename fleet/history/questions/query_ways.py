"""By which index the rows of a query are read: always newest first, so that any page costs as much as the first.

A way is one or more *branches*: equalities that an index serves in the order of ids. What a query asks beyond them is
looked at row by row (see ``outcome_pages``).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, select

from fleet.history.questions.language import Query, Term, Word
from fleet.history.questions.query_terms import (
    Condition,
    asker,
    digest_range,
    hosts_of,
    ids,
    is_pattern,
    is_whole,
    results_of,
    rollouts_of,
)
from fleet.history.sql.lookup import as_uuid
from fleet.history.tables.facts import FAILURES, IS_FAILURE, IS_UNCHANGED, updates
from fleet.images.reference import Reference
from fleet.updates.outcome import Result

MOST_BRANCHES = 20
"""The most branches that are read side by side; a term that needs more is looked at row by row."""

Branch = tuple[Condition, ...]
Branches = list[Branch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where the rows of a query are read."""

    branches: Branches
    """One empty branch: all rows. No branch: no row can fit."""
    told: tuple[Term, ...] = ()
    """The terms that say no more than the branches do: no row needs to be looked at for them."""


def way(connection: Connection, query: Query) -> Way:
    """Return the branches that hold every row of *query*, the fewest rows that an index can tell apart."""
    asked = list(query.terms)
    for each in _ORDER:
        found = each(connection, asked)
        if found is not None and len(found.branches) <= MOST_BRANCHES:
            return found
    return Way(branches=[()])


def _branches(*columns: tuple[Any, Iterable[Any]]) -> Branches:
    """Return a branch for each value of each column."""
    return [(column == value,) for column, values in columns for value in values]


def _of(asked: list[Term], word: Word) -> Iterator[Term]:
    return (term for term in asked if term.word is word and not term.negated)


def _digest(connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.DIGEST):
        whole = [digest for value in term.values for digest in _whole_digests(connection, value)]
        if len(whole) <= MOST_BRANCHES // 2:
            return Way(branches=_branches((updates.c.new_digest, whole), (updates.c.old_digest, whole)), told=(term,))
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


def _container(connection: Connection, asked: list[Term]) -> Way | None:
    on = _host(connection, asked)
    named = next((t for t in _of(asked, Word.CONTAINER) if not any(map(is_pattern, t.values))), None)
    if on is None or named is None:
        return None
    both = [(*branch, updates.c.container == name) for branch, name in product(on.branches, named.values)]
    return Way(branches=both, told=(*on.told, named))


def _rollout(connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.ROLLOUT):
        found = set()
        for value in term.values:
            whole = as_uuid(value)
            found |= {whole} if whole else set(ids(connection.execute(rollouts_of(value).limit(MOST_BRANCHES + 1))))
        return Way(branches=_branches((updates.c.rollout_id, found)), told=(term,))
    return None


def _failures(_connection: Connection, asked: list[Term]) -> Way | None:
    bad = [term for term in _of(asked, Word.OUTCOME) if results_of(term.values) <= set(FAILURES)]
    if not bad:
        return None
    # The literal text of the index's own condition: with parameters, PostgreSQL could not prove that it fits.
    failed: ColumnElement[bool] = literal_column(f"({IS_FAILURE})")
    for term in _of(asked, Word.IMAGE):
        branches: Branches = [(*branch, failed) for branch in _repositories(term)]
        every = tuple(each for each in bad if results_of(each.values) == set(FAILURES))
        return Way(branches=branches, told=(*every, *([term] if _without_tags(term) else [])))
    return None


def _unchanged(connection: Connection, asked: list[Term]) -> Way | None:
    """Return what went otherwise than well on hosts, whether that is asked for or the good is not."""
    wanted = [term for term in asked if term.word is Word.OUTCOME and _leaves_out_updated(term)]
    on = _host(connection, asked) if wanted else None
    if on is None:
        return None
    unchanged: ColumnElement[bool] = literal_column(f"({IS_UNCHANGED})")
    every = tuple(term for term in wanted if term.negated and results_of(term.values) == {Result.UPDATED})
    return Way(branches=[(*branch, unchanged) for branch in on.branches], told=(*on.told, *every))


def _leaves_out_updated(term: Term) -> bool:
    return (Result.UPDATED in results_of(term.values)) is term.negated


def _host(connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.HOST):
        found = set()
        for value in term.values:
            found |= set(ids(connection.execute(hosts_of(value).limit(MOST_BRANCHES + 1))))
        if len(found) <= MOST_BRANCHES:
            return Way(branches=_branches((updates.c.host_id, found)), told=(term,))
    return None


def _image(_connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.IMAGE):
        return Way(branches=_repositories(term), told=(term,) if _without_tags(term) else ())
    return None


def _repositories(term: Term) -> Branches:
    """Return a branch for each repository of ``image:``; a tag is looked at row by row, since no index knows it."""
    return _branches((updates.c.repository, dict.fromkeys(Reference.parse(value).name for value in term.values)))


def _without_tags(term: Term) -> bool:
    named = [Reference.parse(value) for value in term.values]
    return all(each.tag is None and each.digest is None for each in named)


def _mirror(connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.MIRROR):
        known = distinct(connection, updates.c.mirror, most=MOST_MIRRORS)
        if len(known) < MOST_MIRRORS:
            named = [each for each in known if any(value in each for value in term.values)]
            return Way(branches=_branches((updates.c.mirror, named)), told=(term,))
    return None


MOST_MIRRORS = 200
"""How many endpoints are looked through for those that a part names."""


def _outcome(_connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.OUTCOME):
        return Way(branches=_branches((updates.c.result, sorted(results_of(term.values)))), told=(term,))
    return None


def _by(_connection: Connection, asked: list[Term]) -> Way | None:
    for term in _of(asked, Word.BY):
        askers = dict.fromkeys(who for value in term.values for who in asker(value))
        return Way(branches=_branches((updates.c.asked_by, askers)), told=(term,))
    return None


_ORDER: tuple[Callable[[Connection, list[Term]], Way | None], ...] = (
    _digest,
    _container,
    _rollout,
    _failures,
    _unchanged,
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
