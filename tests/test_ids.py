"""Ids sort by the centre's time, however many are made at once."""

import pickle
import time
from uuid import RFC_4122, UUID, uuid4

from fleet.ids import new_id, of_number

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


def test_an_id_of_a_number_is_like_any_other() -> None:
    """It is made past the constructor of its kind, and nobody can tell."""
    for wanted in (UUID(int=0), UUID(int=2**128 - 1), uuid4(), new_id()):
        made = of_number(wanted.int)
        assert (made, hash(made), str(made), repr(made)) == (wanted, hash(wanted), str(wanted), repr(wanted))
        assert pickle.loads(pickle.dumps(made)) == wanted
        assert made.is_safe is wanted.is_safe
