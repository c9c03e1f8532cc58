"""Which outcomes are wanted, as typed parts: what a program asks, where a person writes a query."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.questions.language import Query, Term, Word
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Instant
from fleet.updates.outcome import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFilter:
    """Which outcomes are wanted; an empty part wants all. Each part means what the word of its name means."""

    host: str = ""
    image: str = ""
    digest: str = ""
    container: str = ""
    mirror: str = ""
    outcome: Result | None = None
    since: datetime | None = None
    until: datetime | None = None
    by: str = ""
    rollout: UUID | int | None = None

    def query(self) -> Query:
        """Return the query that means the same; raises BadQuery for a part that cannot be used."""
        return parse(" ".join(map(str, self._terms())))

    def _terms(self) -> Iterator[Term]:
        for word in Word:
            value = getattr(self, word, None)
            if isinstance(value, datetime):
                yield Term(word=word, when=Instant(moment=value))
            elif value:
                yield Term(word=word, values=(str(value),))
