"""What changed on a host between two times, and what a container ran before."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from uuid import UUID

from fleet.history.questions.language import Query, Term, Word
from fleet.history.questions.language_times import When
from fleet.history.questions.outcome_pages import page_of
from fleet.history.questions.outcome_queries import OutcomeRow, read_outcomes
from fleet.history.sql.database import Database
from fleet.history.sql.pages import MOST, PageRequest
from fleet.history.tables.facts import FAILURES
from fleet.updates.outcome import Result

MOST_PAGES = 20
"""How many pages are read for one host; what is older is left out, and said to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """What became of one container in the time."""

    host: str
    container: str
    image: str
    """The image of its last update."""
    before: str
    """The digest that ran before the first update of the time; empty: not known."""
    after: str
    """The digest that ran after the last one."""
    updates: int
    """How many were tried."""
    changed: int
    """How many of them put another digest in its place."""
    failures: int
    reason: str
    """Of the last failure."""
    config_diff: tuple[str, ...]
    """Lines of every update, oldest first, each once; none where it runs again what it ran before."""
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed, by host and container."""

    rows: tuple[ChangeRow, ...]
    complete: bool
    """False: there were more updates than are read at once; these are the newest."""


def changes(db: Database, host: str, since: When, until: When | None = None, *, zone: tzinfo = UTC) -> Changes:
    """Return what changed on *host* (a name, an id or a pattern) from *since* to before *until*."""
    times = [Term(word=Word.SINCE, when=since), *([Term(word=Word.UNTIL, when=until)] if until else [])]
    found, complete = _newest(db, Query(terms=(Term(word=Word.HOST, values=(host,)), *times)), zone)
    # A name may have been that of a host which was removed: what ran there is not what ran before here.
    groups: dict[tuple[str, str, UUID], list[OutcomeRow]] = {}
    for row in reversed(found):
        groups.setdefault((row.host, row.container, row.host_id), []).append(row)
    return Changes(rows=tuple(change_of(rows) for _, rows in sorted(groups.items())), complete=complete)


def chain(db: Database, host: str, container: str, page: PageRequest) -> tuple[list[OutcomeRow], str]:
    """Return what one container was brought to, newest first, and the cursor of what is older."""
    values = {Word.HOST: host, Word.CONTAINER: container, Word.OUTCOME: Result.UPDATED.value}
    query = Query(terms=tuple(Term(word=word, values=(value,)) for word, value in values.items()))
    with db.reading() as connection:
        found = page_of(connection, query, page, db.moment(connection), UTC)
        return list(read_outcomes(connection, found.rows)), found.next


def _newest(db: Database, query: Query, zone: tzinfo) -> tuple[list[OutcomeRow], bool]:
    found: list[OutcomeRow] = []
    cursor = ""
    for _ in range(MOST_PAGES):
        with db.reading() as connection:
            page = page_of(connection, query, PageRequest(limit=MOST, cursor=cursor), db.moment(connection), zone)
            found += read_outcomes(connection, page.rows)
        cursor = page.next
        if not cursor:
            return found, True
    return found, False


def change_of(rows: list[OutcomeRow]) -> ChangeRow:
    """Return what came of one container; *rows* are oldest first."""
    moved = [row for row in rows if row.result is Result.UPDATED]
    failed = [row for row in rows if row.result in FAILURES]
    before, after = rows[0].old_digest, moved[-1].new_digest if moved else rows[0].old_digest
    return ChangeRow(
        host=rows[-1].host,
        container=rows[-1].container,
        image=rows[-1].image,
        before=before,
        after=after,
        updates=len(rows),
        changed=len([row for row in moved if row.old_digest != row.new_digest]),
        failures=len(failed),
        reason=failed[-1].reason if failed else "",
        # To and fro, they would contradict each other.
        config_diff=() if before == after != "" else _once(line for row in moved for line in row.config_diff),
        last_at=max(row.recorded_at for row in rows),
    )


def _once(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
