"""Ids sort by the centre's time, however many are made at once."""

import time
from uuid import RFC_4122

from fleet.ids import new_id

MANY = 20_000


def test_ids_are_in_the_order_in_which_they_were_made_and_each_is_one_of_its_kind() -> None:
    """What is made later sorts later, also within a millisecond: ids of facts sort after the id of their command."""
    made = [new_id() for _ in range(MANY)]
    assert made == sorted(made)
    assert len(set(made)) == MANY
    assert {(id.version, id.variant) for id in made} == {(7, RFC_4122)}


def test_ids_do_not_run_ahead_of_the_clock() -> None:
    """Tens of thousands in a second tell of that second, and not of a later one: partitions go by it."""
    for _ in range(MANY):
        last = new_id()
    assert last.int >> 80 <= time.time_ns() // 1_000_000
