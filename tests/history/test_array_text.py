"""Lists of values in one text: PostgreSQL reads from it what was put into it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Text, Uuid, cast, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from fleet.history.sql.among import among
from fleet.history.sql.array_text import array_text
from fleet.history.sql.database import Database
from fleet.history.sql.json_text import json_of
from fleet.history.tables.inventory import hosts
from fleet.rollouts.states import HostState

NASTY = ["", " ", "NULL", 'a "quoted" one', "back\\slash\\", "{x,y}", "a,b", "'", "\n\t", "ä ∑ 🐳", '\\"', None]


@pytest.mark.postgresql
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Text(), NASTY),
        (Text(), [HostState.PENDING, "x"]),
        (Uuid(), [UUID(int=0), UUID(int=2**128 - 1), None]),
        (BigInteger(), [0, -1, 2**63 - 1, None]),
        (Boolean(), [True, False, None]),
        (DateTime(timezone=True), [datetime(2026, 11, 27, 4, 5, 6, 789, UTC), datetime(1, 1, 1, tzinfo=UTC), None]),
        (Text(), []),
    ],
)
def test_what_is_written_is_read(db: Database, kind: Any, values: list[Any]) -> None:
    """Whatever the values hold, and nothing is nothing."""
    with db.reading() as connection:
        assert connection.execute(select(cast(literal(array_text(values), Text), ARRAY(kind)))).scalar_one() == values


@pytest.mark.postgresql
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_documents_are_read(db: Database) -> None:
    """JSON is full of what means something in an array too."""
    documents = [{"a": NASTY, 'b"': {"c\\": [1, None, True]}}, {}]
    written = array_text(json_of(each) for each in documents)
    with db.reading() as connection:
        assert connection.execute(select(cast(literal(written, Text), ARRAY(JSONB())))).scalar_one() == documents


def test_what_no_column_holds_is_refused() -> None:
    """It would be written as something else."""
    with pytest.raises(TypeError, match="cannot write a float"):
        array_text([1.5])


@pytest.mark.postgresql
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_list_of_ids_is_read_once_and_not_for_each_row(db: Database) -> None:
    """As a parameter of its own kind; a cast of a text would be done again for each row that is looked at."""
    ids = [UUID(int=number) for number in range(3)]
    with db.reading() as connection:
        query = select(hosts.c.id).where(among(connection, hosts.c.id, ids))
        written = str(query.compile(dialect=db.engine.dialect))
        assert connection.execute(query).all() == []
    assert "= ANY (%(param_1)s::UUID[])" in written, written
