"""Links in messages by which their readers answer for a rollout (pure): what each does, where it leads, and what opens it.

What opens a link is in the message and nowhere else: the database knows its hash. It is a part of the address that comes
after the question mark, since what stands before it is logged on many ways.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

PATH = "/links"
"""What stands before the id of a link."""
SECRET = "secret"  # noqa: S105
"""The parameter that opens it."""
SECRET_PREFIX = "flink-"  # noqa: S105
"""What each begins with, so that scanners of leaked secrets find it; no sign in it is one of Markdown's."""
FIELD = "links"
"""What an event's data calls them."""


class LinkAct(StrEnum):
    """What a link does."""

    APPROVE = "approve"
    """The wave that waits may begin."""
    ABORT = "abort"
    """The rollout ends; what was updated stays so."""

    def said(self, rollout: int, wave: int) -> str:
        """Return what is done, for people: ``approve wave 2 of rollout #42``."""
        match self:
            case LinkAct.APPROVE:
                return f"approve wave {wave + 1} of rollout #{rollout}"
            case LinkAct.ABORT:
                return f"abort rollout #{rollout}"


class LinkState(StrEnum):
    """Whether a link does anything any more."""

    OPEN = "open"
    """It does, once."""
    USED = "used"
    """It did."""
    OVERTAKEN = "overtaken"
    """The rollout does not wait for this answer any more."""
    EXPIRED = "expired"
    """Its time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The links of one message about one event, whole: never kept, never logged."""

    urls: Mapping[LinkAct, str] = field(default_factory=dict)
    until: datetime

    def document(self) -> dict[str, str]:
        """Return them as an event's data holds them."""
        until = self.until.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {**{act.value: url for act, url in self.urls.items()}, "until": until}


EMPTY: Mapping[str, str] = {**{act.value: "" for act in LinkAct}, "until": ""}
"""What a template finds where an event has none."""


def url_of(public_url: str, id: UUID, secret: str) -> str:
    """Return where a link leads."""
    return f"{public_url}{PATH}/{id}?{SECRET}={secret}"


def hash_of(secret: str) -> str:
    """Return what is kept of what opens a link."""
    return hashlib.sha256(secret.encode()).hexdigest()


def opens(sha256: str, secret: str) -> bool:
    """Tell whether *secret* opens the link of that hash; it takes as long for any other."""
    return hmac.compare_digest(sha256.encode(), hash_of(secret).encode())


def with_links(document: Mapping[str, Any], links: Links) -> dict[str, Any]:
    """Return a CloudEvent with its links."""
    return {**document, "data": {**document["data"], FIELD: links.document()}}
