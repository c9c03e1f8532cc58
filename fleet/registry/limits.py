"""What a registry says about how often it may be asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fleet.registry.faults import printable

_COUNT = re.compile(r"\s*([0-9]{1,9})\s*(?:;\s*w=([0-9]{1,9}))?(?:[^0-9].*)?")
"""Numbers of which a database could not keep one are no counts."""
_LONGEST_SOURCE = 200
LONGEST_WAIT_S = 24 * 3600.0
"""A longer Retry-After is a slip or an attack; asking once a day harms nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Docker Hub's ``ratelimit-*`` headers: how many pulls of how many are left in which window."""

    limit: int
    remaining: int
    window_s: int
    """0 where the registry does not say."""
    source: str = ""
    """Whom the registry counts: an IP address or an account's id."""


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Read the rate limit from an answer's lower-case *headers*; None where there is none.

    The headers are those of https://docs.docker.com/docker-hub/usage/pulls/, and others use the same.
    """
    limit = _COUNT.fullmatch(headers.get("ratelimit-limit", ""))
    remaining = _COUNT.fullmatch(headers.get("ratelimit-remaining", ""))
    if limit is None or remaining is None:
        return None
    return RateLimit(
        limit=int(limit[1]),
        remaining=int(remaining[1]),
        window_s=int(limit[2] or remaining[2] or 0),
        source=printable(headers.get("docker-ratelimit-source", "").strip(), _LONGEST_SOURCE),
    )


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds for which ``Retry-After`` (seconds or an HTTP date, RFC 9110) asks; None where it does not.

    A date is counted from the answer's own ``Date``, where it has one, and not from *now*: this machine's clock may be off.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), LONGEST_WAIT_S)
    until = _date(text)
    if until is None:
        return None
    return min(max((until - (_date(headers.get("date", "")) or now)).total_seconds(), 0.0), LONGEST_WAIT_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
