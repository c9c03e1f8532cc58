"""The routes of the history."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from fleet.api.history import HistoryPage, HistoryQuery, OutcomeRow, Pull, Update, UpdateAnswer
from fleet.history.questions import queries
from fleet.history.questions.language import Query as Language
from fleet.history.questions.language import Term, Word
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Instant
from fleet.history.sql.pages import PageRequest
from fleet.web.callers import Reader
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/history", tags=["history"])


@router.get("")
def list_history(centre: ThisCentre, _: Reader, query: Annotated[HistoryQuery, Query()]) -> HistoryPage:
    """List what came of updates, newest first; everything given must hold.

    A page may hold fewer rows than were asked for, or none, and still have a next one.
    """
    page = queries.outcomes(centre.db, _query(centre, query), PageRequest(limit=query.limit, cursor=query.page or ""))
    return HistoryPage(
        outcomes=tuple(OutcomeRow.model_validate(row) for row in page.items), next_page=page.next or None
    )


@router.get("/{id}")
def show_outcome(centre: ThisCentre, _: Reader, id: str) -> UpdateAnswer:
    """Show one update in full, by its id or the last 8 digits of it."""
    found = queries.outcome(centre.db, id)
    pull = Pull.model_validate(found.pull) if found.pull else None
    return UpdateAnswer(update=Update.model_validate(found.outcome), pull=pull)


def _query(centre: Centre, asked: HistoryQuery) -> Language:
    """Return the query that was written, and what was given in parts beside it."""
    given = asked.model_dump(exclude_none=True, exclude={"q", "limit", "page"})
    if str(given.get("image", "")).startswith("sha256:"):
        given["digest"] = given.pop("image")
    if asked.rollout:
        # Whoever names one rollout wants to know that there is none; in a query, no row fits it.
        given["rollout"] = str(queries.rollout(centre.db, asked.rollout).rollout.id)
    parts = [_term(Word(name), value) for name, value in given.items() if value != ""]
    written = parse(asked.q or "")
    return Language(terms=(*written.terms, *parse(" ".join(map(str, parts))).terms))


def _term(word: Word, value: str | datetime) -> Term:
    if isinstance(value, datetime):
        return Term(word=word, when=Instant(moment=value))
    return Term(word=word, values=(value,))
