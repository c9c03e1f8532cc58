"""The feed of events: what its stream holds beside CloudEvents."""

from typing import Any

from fleet.api.form import Answer

LOST = "lost"
"""The ``event`` of the one message in the stream that is no CloudEvent."""


class FeedLost(Answer):
    """Events behind the id that was named are not kept any more; the stream goes on with the oldest that is kept."""

    after: int
    """The id that was named."""
    oldest: int
    """The oldest that is kept, or the next that will be given."""


class Events(Answer):
    """Events in their order, as a command prints them."""

    events: tuple[dict[str, Any], ...]
    """CloudEvents, each with its ``number``."""
