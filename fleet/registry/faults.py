"""How an exchange with a registry fails, told apart as far as callers act on it."""

from enum import StrEnum
from urllib.parse import urlsplit

from fleet.errors import RegistryError, RegistryUnreachable

MOST_TOLD = 500
"""The most characters of what a server named that are told: a header may have a hundred thousand."""


class Failure(StrEnum):
    """At which point an exchange broke off."""

    NO_CONNECTION = "no_connection"
    """Refused, no route, name not found, or TLS failed."""
    NO_ANSWER = "no_answer"
    """Connected, and no complete header came in time, or the connection was closed before it."""
    STALLED = "stalled"
    """The body stopped coming."""
    CUT = "cut"
    """The body ended before its announced end."""


class ExchangeFailed(RegistryUnreachable):
    """cannot finish the exchange with the registry

    *failure* says at which point it broke off.
    """

    def __init__(self, message: str, *, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class RateLimitError(RegistryError):
    """cannot ask the registry so often

    *retry_after_s* is how long the registry asks to be left alone, None where it does not say.
    """

    def __init__(self, message: str, *, retry_after_s: float | None) -> None:
        super().__init__(message, status=429)
        self.retry_after_s = retry_after_s


def redacted(url: str) -> str:
    """Return *url* without user, password, query and fragment: signed URLs carry secrets there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an unreadable URL"
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def printable(text: str, most: int = MOST_TOLD) -> str:
    """Return what a server named, so that it steers no terminal and fills no log."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() else "�" for c in cut)
