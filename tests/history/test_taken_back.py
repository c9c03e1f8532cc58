"""A transaction that is taken back: what is written in it is seen in it alone."""

import pytest

from fleet.errors import BadInput
from fleet.history.rollouts import caps
from fleet.history.sql.database import Database

BY = {"by": "person:test", "door": "test"}


def test_what_is_written_is_read_there_and_gone_afterwards(db: Database) -> None:
    caps.set_cap(db, "rack", "3", **BY)
    with db.taken_back() as tried:
        caps.set_cap(tried, "site", "25%", **BY)
        caps.drop_cap(tried, "rack", **BY)
        assert [cap.label for cap in caps.caps(tried)] == ["site"]
        assert tried.now() >= db.now() if db.dialect == "postgresql" else True
    assert [cap.label for cap in caps.caps(db)] == ["rack"]


def test_what_fails_there_takes_itself_back_and_nothing_before_it(db: Database) -> None:
    with db.taken_back() as tried:
        caps.set_cap(tried, "site", "25%", **BY)
        with pytest.raises(BadInput), tried.writing() as connection:
            caps.caps(tried)
            connection.exec_driver_sql("DELETE FROM caps")
            raise BadInput
        assert [cap.label for cap in caps.caps(tried)] == ["site"]
