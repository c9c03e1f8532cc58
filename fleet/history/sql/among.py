"""One of many ids, as a single parameter: a list that the database takes apart by itself.

A parameter for each id costs more than what is done with it, and makes another statement of each length of the list.
"""

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    TypeDecorator,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    literal,
    select,
    true,
)

from fleet.history.sql.array_text import array_text

BY_NUMBER = attrgetter("int")
"""How to sort ids: to compare two of them takes far longer."""


class _Ids(TypeDecorator[list[UUID]]):
    """An array of ids, written as one text. The text is the parameter itself: a cast would be done anew for each row."""

    impl = ARRAY(Uuid())
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[list[UUID] | None], str]:
        """Write it at once, and not id by id."""
        return lambda ids: array_text(ids or ())


def among(connection: Connection, of: Column[Any], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """Return the condition that *of* is one of *ids*, however many."""
    known = in_order(ids)
    if connection.dialect.name == "postgresql":
        # Between the ends too: a list that is not known yet when the statement is planned leaves no partition out.
        ends = and_(of >= known[0], of <= known[-1]) if known else true()
        return and_(ends, of == any_(literal(known, _Ids())))
    listed = func.json_each('["' + '","'.join([f"{id.int:032x}" for id in known]) + '"]').table_valued("value")
    return of.in_(select(listed.c.value))


def among_states(of: ColumnElement[Any], states: Collection[StrEnum]) -> ColumnElement[bool]:
    """Return the condition that *of* is one of a few states.

    They are written out: an index of some states alone serves no condition whose states are not known yet.
    """
    known = list(states)
    if len(known) == 1:
        # As the condition of such an index is written.
        return of == bindparam(None, known[0], type_=of.type, literal_execute=True)
    return of.in_(bindparam(None, known, expanding=True, literal_execute=True))


def in_order(ids: Iterable[UUID]) -> list[UUID]:
    """Return *ids*, each once, in the order in which the databases sort them."""
    return sorted(set(ids), key=BY_NUMBER)
