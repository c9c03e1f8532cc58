"""What a stream of events holds: CloudEvents with the id behind which to go on, and a word where some are gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from fleet.api.events import LOST, FeedLost
from fleet.errors import FleetError

QUIET_S = 45.0
"""How long a stream may be silent: three of the comments that keep it alive may be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One message of the stream."""

    id: str
    """Behind it a stream goes on that was cut off."""
    event: dict[str, Any] | None = None
    """The CloudEvent."""
    lost: FeedLost | None = None
    """That events before this were lost. Neither: all is well, and nothing happened."""


def read_events(answer: httpx2.Response) -> Iterator[Followed]:
    """Yield the messages of a stream; raise FleetError for what is none."""
    for message in httpx2.EventSource(answer):
        if not message.data:
            yield Followed(id=message.id)
            continue
        try:
            if message.event == LOST:
                yield Followed(id=message.id, lost=FeedLost.model_validate_json(message.data))
            else:
                told = message.json()
                if not isinstance(told, dict):
                    raise ValueError("no object")
                yield Followed(id=message.id, event=told)
        except ValueError:
            raise FleetError(
                "cannot understand the server's events; are command and server of the same version?"
            ) from None
