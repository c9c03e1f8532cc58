"""What an insert itself says of which rows are new, on both databases."""

from typing import Any
from uuid import UUID, uuid4

from fleet.history.sql.upsert import insert_first
from fleet.history.tables.road import messages
from tests.history.world import World, rows


def test_of_rows_some_of_which_are_there_those_are_told_that_are_new_each_once(world: World) -> None:
    """What is counted, and what a message moves, hangs on it: the first of two rows with one key is the new one."""

    def spent(id: UUID) -> dict[str, Any]:
        return {"id": id, "host_id": uuid4(), "received_at": world.db.now()}

    there, new, other = spent(uuid4()), spent(uuid4()), spent(uuid4())
    again, twice = spent(there["id"]), spent(new["id"])
    with world.db.writing() as connection:
        assert insert_first(connection, messages, [], "id") == []
        assert insert_first(connection, messages, [there], "id") == [there]
        assert insert_first(connection, messages, [again, new, twice, other], "id") == [new, other]
        assert insert_first(connection, messages, [twice, again], "id") == []
    kept = {row["id"]: row["host_id"] for row in rows(world.db, messages)}
    assert {each["id"]: each["host_id"] for each in (there, new, other)}.items() <= kept.items()
