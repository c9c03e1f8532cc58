"""One of many ids, as a single parameter: a list that the database takes apart by itself.

A parameter for each id costs more than what is done with it, and makes another statement of each length of the list.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Text,
    Uuid,
    and_,
    any_,
    cast,
    func,
    literal,
    select,
    true,
)

from fleet.history.array_text import array_text

BY_NUMBER = attrgetter("int")
"""How to sort ids: to compare two of them takes far longer."""


def among(connection: Connection, of: Column[Any], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """Return the condition that *of* is one of *ids*, however many."""
    known = in_order(ids)
    if connection.dialect.name == "postgresql":
        # Between the ends too: a list that is not known yet when the statement is planned leaves no partition out.
        ends = and_(of >= known[0], of <= known[-1]) if known else true()
        return and_(ends, of == any_(cast(literal(array_text(known), Text), ARRAY(Uuid()))))
    listed = func.json_each('["' + '","'.join([f"{id.int:032x}" for id in known]) + '"]').table_valued("value")
    return of.in_(select(listed.c.value))


def in_order(ids: Iterable[UUID]) -> list[UUID]:
    """Return *ids*, each once, in the order in which the databases sort them."""
    return sorted(set(ids), key=BY_NUMBER)
