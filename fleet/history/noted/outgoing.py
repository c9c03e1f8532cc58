"""Messages to hosts that belong to no state of a command: written with the change that they tell of, sent by a tick."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection

from fleet.history.sql.upsert import insert_new
from fleet.history.tables.road import outbox
from fleet.ids import new_id
from fleet.road.messages import Cancel, Receipt, SendSnapshot
from fleet.road.versions import Message

RECEIPT_IDS = 500
"""How many outcomes one receipt names at most."""


def post(connection: Connection, host_id: UUID, message: Message, now: datetime) -> None:
    """Let the next tick send *message*; one that says what a waiting one says already is not kept twice."""
    insert_new(connection, outbox, [posted(host_id, message, now)], ("id",))


def posted(host_id: UUID, message: Message, now: datetime) -> dict[str, Any]:
    """Return the row of ``outbox``; rows of a batch go through :func:`post_all`."""
    match message:
        case Cancel():
            id = uuid5(host_id, f"cancel {message.command}")
        case SendSnapshot():
            id = uuid5(host_id, "send-snapshot")
        case _:
            id = new_id()
    return _row(id, host_id, message.model_dump(mode="json"), now)


def _row(id: UUID, host_id: UUID, body: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {"id": id, "host_id": host_id, "body": body, "sent": 0, "created_at": now, "leased_until": None}


def post_all(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of ``outbox``."""
    insert_new(connection, outbox, list(rows), ("id",))


def receipts(host_id: UUID, ids: list[str], now: datetime) -> list[dict[str, Any]]:
    """Return rows of ``outbox`` that confirm *ids*, as few as can be."""
    ids = list(dict.fromkeys(ids))
    return [
        _row(new_id(), host_id, {**_RECEIPT, "ids": ids[begin : begin + RECEIPT_IDS]}, now)
        for begin in range(0, len(ids), RECEIPT_IDS)
    ]


_RECEIPT = Receipt(ids=()).model_dump(mode="json")
"""A receipt as it is written, but for what it confirms: to make a message for each takes ten times as long."""
