"""Rows of messages that belong to no state of a command."""

from datetime import UTC, datetime

from fleet.history.noted.outgoing import RECEIPT_IDS, posted, receipts
from fleet.ids import new_id
from fleet.road.messages import DOWN, Receipt

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def test_a_receipt_is_written_as_its_message_says_it() -> None:
    """It is written without making the message, and read as one."""
    host, ids = new_id(), [new_id(), new_id()]
    (row,) = receipts(host, [str(id) for id in ids], NOW)
    written = posted(host, Receipt(ids=tuple(ids)), NOW)
    assert row | {"id": None} == written | {"id": None}
    assert DOWN.validate_python(row["body"]) == Receipt(ids=tuple(ids))


def test_many_outcomes_are_confirmed_by_as_few_receipts_as_can_be() -> None:
    """Each once, whatever was told twice."""
    ids = [str(new_id()) for _ in range(RECEIPT_IDS + 1)]
    rows = receipts(new_id(), ids + ids, NOW)
    assert [len(row["body"]["ids"]) for row in rows] == [RECEIPT_IDS, 1]
    assert len({row["id"] for row in rows}) == len(rows)
