"""Read a query; what cannot be understood is told with its place."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TypeVar
from uuid import UUID

from fleet.errors import BadInput
from fleet.history.questions.language import FAILURE, TIMES, BadQuery, Query, Term, Word
from fleet.history.questions.language_times import read_when
from fleet.images.reference import Reference
from fleet.updates.outcome import Result

T = TypeVar("T")

LONGEST = 2000
"""The most characters of one query."""
MOST_TERMS = 50
MOST_VALUES = 50
"""The most values of one term."""

_WORD = re.compile(r"([A-Za-z_]+):")
_SPACE = re.compile(r"\s*")
_BARE = re.compile(r'[^\s,"]+')
_DIGEST = re.compile(r"(?:sha(?:256|512):)?[0-9a-f]{12,128}")
_NUMBER = re.compile(r"#?[0-9]{1,9}")
_SHORT_ID = re.compile(r"[0-9a-f]{8}")
_WORDS = [word.value for word in Word if word is not Word.TEXT]


def parse(text: str) -> Query:
    """Return the query that *text* is; raise BadQuery, which names the place and what was expected there."""
    return _Reader(text).query()


class _Reader:
    """Goes over the text once, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def query(self) -> Query:
        if len(self.text) > LONGEST:
            raise self._wrong(f"it has {len(self.text)} characters; {LONGEST} are the most", LONGEST)
        terms: list[Term] = []
        while self._skip_space():
            if len(terms) == MOST_TERMS:
                raise self._wrong(f"{MOST_TERMS} terms are the most")
            terms.append(self._term())
        return Query(terms=tuple(terms))

    def _term(self) -> Term:
        began = self.at
        negated = self.text[self.at] == "-"
        self.at += negated
        word = self._word()
        if word in TIMES and negated:
            raise self._wrong(f"{word} cannot be negated; use {TIMES[word is TIMES[0]]}", began)
        place = self.at
        values = self._values(word)
        if self.at < len(self.text) and not self.text[self.at].isspace():
            raise self._wrong("a quote stands inside a value; put the whole value into quotes")
        if word in TIMES:
            if len(values) > 1:
                raise self._wrong(f"{word} takes one time", place)
            return Term(word=word, when=self._checked(lambda: read_when(values[0]), place))
        return Term(word=word, values=values, negated=negated)

    def _word(self) -> Word:
        match = _WORD.match(self.text, self.at)
        if match is None:
            return Word.TEXT
        if match[1] not in _WORDS:
            close = get_close_matches(match[1].lower(), _WORDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_WORDS)};"
            raise self._wrong(f"there is no word {match[1]}; {hint} text with a colon is put into quotes")
        self.at = match.end()
        return Word(match[1])

    def _values(self, word: Word) -> tuple[str, ...]:
        values = [self._value(word)]
        while self.text[self.at : self.at + 1] == ",":
            if len(values) == MOST_VALUES:
                raise self._wrong(f"{MOST_VALUES} values are the most")
            self.at += 1
            values.append(self._value(word))
        return tuple(values)

    def _value(self, word: Word) -> str:
        place = self.at
        value = self._quoted() if self.text[place : place + 1] == '"' else self._bare()
        if not value:
            raise self._wrong("a value is missing", place)
        if not value.isprintable():
            raise self._wrong("a value holds a sign that cannot be printed", place)
        check = _CHECKS.get(word)
        if check is not None:
            self._checked(lambda: check(value), place)
        return value

    def _bare(self) -> str:
        match = _BARE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match[0] if match else ""

    def _quoted(self) -> str:
        began = self.at
        self.at += 1
        value = ""
        while self.at < len(self.text):
            sign = self.text[self.at]
            self.at += 1
            if sign == '"':
                return value
            if sign == "\\":
                sign = self.text[self.at : self.at + 1]
                if sign not in ('"', "\\"):
                    raise self._wrong('after a backslash in quotes stands " or \\', self.at - 1)
                self.at += 1
            value += sign
        raise self._wrong("this quote is never closed", began)

    def _skip_space(self) -> bool:
        """Go to the next term; return whether there is one."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at < len(self.text)

    def _checked(self, read: Callable[[], T], place: int) -> T:
        try:
            return read()
        except BadInput as error:
            raise self._wrong(str(error), place) from None

    def _wrong(self, reason: str, place: int | None = None) -> BadQuery:
        return BadQuery(self.text, self.at if place is None else place, reason)


def is_digest(text: str) -> bool:
    """Tell whether *text* is a digest, or enough of one to look for it."""
    return _DIGEST.fullmatch(text) is not None


def _image(value: str) -> None:
    Reference.parse(value)


def _digest(value: str) -> None:
    if not is_digest(value):
        raise BadInput("expected a digest, or at least 12 hex digits of it")


def _outcome(value: str) -> None:
    if value not in (FAILURE, *Result):
        raise BadInput(f"expected one of {', '.join((FAILURE, *Result))}")


def _rollout(value: str) -> None:
    if _NUMBER.fullmatch(value) or _SHORT_ID.fullmatch(value):
        return
    try:
        UUID(value)
    except ValueError:
        raise BadInput("expected a rollout's number, id, or the last 8 digits of it") from None


_CHECKS: Mapping[Word, Callable[[str], None]] = {
    Word.IMAGE: _image,
    Word.DIGEST: _digest,
    Word.OUTCOME: _outcome,
    Word.ROLLOUT: _rollout,
}
