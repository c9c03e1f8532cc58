"""The words in which the history is asked, as values: the same in the command line, the API and the pages. Knows no SQL.

``host:web-1,web-2 -outcome:updated since:2h "connection refused"``: each term must hold, one value of its list is
enough, a minus says the contrary, and what stands without a word is text that is looked for.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import combining, east_asian_width

from fleet.errors import BadInput
from fleet.history.questions.language_times import When

FAILURE = "failure"
"""The value of ``outcome:`` that stands for every result that means that an update went wrong."""

_BARE = re.compile(r'[^\s,"\-][^\s,"]*')


_BEFORE, _AFTER = 50, 24
"""The most signs that are shown before a mistake, and from it on."""


class Word(StrEnum):
    """What a term asks about."""

    HOST = "host"
    """A host's name now, its id, or a pattern with ``*`` and ``?``."""
    IMAGE = "image"
    """A reference; without a tag, every tag."""
    CONTAINER = "container"
    """A container's name, or a pattern."""
    DIGEST = "digest"
    """What ran before or after; at least 12 hex digits of it."""
    MIRROR = "mirror"
    """The source that served most: its endpoint, or a part of one."""
    OUTCOME = "outcome"
    """How it ended; ``failure`` means every bad end."""
    ROLLOUT = "rollout"
    """A rollout's number, id, or the last 8 digits of it."""
    BY = "by"
    """Who asked: ``person:anna``, or ``anna`` of whatever kind."""
    SINCE = "since"
    """Written down then or later."""
    UNTIL = "until"
    """Written down before then."""
    TEXT = "text"
    """Stands in reason, container, image or mirror; capitals count."""


TIMES = (Word.SINCE, Word.UNTIL)
"""The words whose value is a time."""


class BadQuery(BadInput):
    """cannot understand the query"""

    def __init__(self, query: str, position: int, reason: str) -> None:
        """Say what is wrong at *position* (from 0) of *query*."""
        super().__init__(f"cannot understand the query at character {position + 1}: {reason}")
        self.query = query
        self.position = position
        self.reason = reason

    @property
    def pointer(self) -> str:
        """Two lines that fit any terminal: the query, or the part of it with the mistake, and a mark under that."""
        before, after = map(_shown, (self.query[: self.position], self.query[self.position :]))
        if len(before) > _BEFORE:
            before = f"...{before[3 - _BEFORE :]}"
        if len(after) > _AFTER:
            after = f"{after[: _AFTER - 3]}..."
        return f"  {before}{after}\n  {' ' * sum(map(_columns, before))}^"


def _shown(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _columns(sign: str) -> int:
    """Return how many columns of a terminal a sign takes."""
    return 0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One thing that must hold, or must not."""

    word: Word
    values: tuple[str, ...] = ()
    """One of them is enough; empty where the word asks for a time."""
    when: When | None = None
    """The time, where the word asks for one."""
    negated: bool = False

    def __str__(self) -> str:
        """Return the term as it is read back."""
        values = str(self.when) if self.when is not None else ",".join(self._quoted(value) for value in self.values)
        return ("-" if self.negated else "") + ("" if self.word is Word.TEXT else f"{self.word}:") + values

    def _quoted(self, value: str) -> str:
        if _BARE.fullmatch(value) and not (self.word is Word.TEXT and ":" in value):
            return value
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked: every term must hold; none asks for everything."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        """Return the query as it is read back."""
        return " ".join(map(str, self.terms))
