"""Which way each database takes to an answer: by an index, over a bounded number of rows, and no further for a later page."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from fleet.history.measured.fleet import measure
from fleet.history.measured.mirrors import measure_mirrors
from fleet.history.questions import durations, outcome_pages, queries
from fleet.history.questions.changes import chain, changes
from fleet.history.questions.days import close_days
from fleet.history.questions.language import Query
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Ago
from fleet.history.questions.mirror_report import mirror_report
from fleet.history.questions.outcome_pages import Cursor, Search
from fleet.history.questions.outcome_queries import outcome
from fleet.history.questions.who_runs import who_runs
from fleet.history.sql.database import Database
from fleet.history.sql.pages import PageRequest
from fleet.history.tables.facts import PARTITIONED
from tests.history.conftest import HeldClock
from tests.history.facts import DIGESTS, Facts, write_facts

ROWS = 2100
MOST_BUFFERS = 200
"""Far below the pages of the tables with their indexes; each row may lie on a page of its own. The clock is held at noon:
of a day that is not over, more rows are read in the evening."""
LIMIT = 2
"""Rows a page, where the thousandth is asked for."""

Ask = Callable[[Database, Facts], object]


def _asked(words: str) -> Ask:
    return lambda db, facts: queries.outcomes(db, parse(words), PageRequest(limit=10))


QUESTIONS: dict[str, Ask] = {
    words or "everything": _asked(words)
    for words in (
        "",
        "host:web-1",
        "host:web-*",
        "host:web-1 container:app",
        "image:nginx",
        "image:nginx:1.27",
        "image:nginx outcome:failure",
        "image:nginx outcome:failed port",
        "host:web-1 nowhere",
        "host:web-1 outcome:failure",
        "host:web-1 -outcome:updated nowhere",
        f"digest:{DIGESTS[0]}",
        f"digest:{DIGESTS[0][:20]}",
        "mirror:harbor",
        "outcome:rolled_back",
        "rollout:41",
        "by:anna",
        "since:2h",
        "until:5d",
        "since:3d until:2d",
        "port",
        "nowhere",
    )
} | {
    "who runs": lambda db, facts: who_runs(db, "nginx"),
    "changes": lambda db, facts: changes(db, "web-1", Ago(seconds=3600)),
    "chain": lambda db, facts: chain(db, "web-1", "app", PageRequest(limit=10)),
    "mirrors": lambda db, facts: mirror_report(db, facts.updates[-1]["recorded_at"] - timedelta(days=5)),
    "durations": lambda db, facts: durations.durations(db, parse("host:web-1")),
    "compared": lambda db, facts: durations.compared(db),
    "metrics": lambda db, facts: measure(db),
    "metrics of mirrors": lambda db, facts: measure_mirrors(db),
    "show": lambda db, facts: outcome(db, facts.updates[-5]["id"].hex[-8:]),
}


@pytest.fixture
def facts(fresh: Database, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """Enough rows that no planner would rather read them all."""
    monkeypatch.setattr(outcome_pages, "WINDOW", 20)
    monkeypatch.setattr(outcome_pages, "SCATTERED", 20)
    monkeypatch.setattr(durations, "LOOKED_AT", 5)
    clock.at = clock.at.replace(hour=12)
    written = write_facts(fresh, ROWS, seed=11, now=clock.now())
    close_days(fresh)
    with fresh.writing() as connection:
        connection.execute(text("ANALYZE"))
    return written


@contextmanager
def statements(db: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is sent to the database."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def test_no_question_reads_a_whole_fact_table(fresh: Database, facts: Facts) -> None:
    for name, ask in QUESTIONS.items():
        with statements(fresh) as sent:
            ask(fresh, facts)
        assert sent
        for statement, parameters in sent:
            if fresh.dialect == "sqlite":
                _check_sqlite(fresh, name, statement, parameters)
            else:
                _check_postgresql(fresh, name, statement, parameters)


def _check_sqlite(db: Database, name: str, statement: str, parameters: Any) -> None:
    with db.reading() as connection:
        plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    for table in PARTITIONED:
        assert f"SCAN {table.name}" not in plan, (name, plan, statement)


def _check_postgresql(db: Database, name: str, statement: str, parameters: Any) -> None:
    plan = explained(db, statement, parameters)
    scanned = [node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan" and _is_fact(node)]
    assert scanned == [], (name, scanned, statement)
    assert buffers(plan) <= MOST_BUFFERS, (name, buffers(plan), statement)


def _is_fact(node: dict[str, Any]) -> bool:
    # An empty partition is read whole in no time.
    filled = node["Actual Rows"] or node.get("Rows Removed by Filter")
    return bool(filled) and node["Relation Name"].startswith(tuple(f"{table.name}_" for table in PARTITIONED))


def explained(db: Database, statement: str, parameters: Any, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plan of a statement that was carried out, and *without* some ways that the planner might have chosen."""
    with db.reading() as connection:
        for way in without:
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        told = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar()
    assert told is not None
    found: dict[str, Any] = told[0]["Plan"]
    return found


def buffers(plan: dict[str, Any]) -> int:
    """Return how many pages a plan read, from memory or not."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


LOOKED_AT = {
    "": "",
    "host:web-1": "",
    "host:web-* container:app,db": "",
    "image:nginx,redis": "",
    "image:nginx:1.27": "image:nginx:1.27",
    "image:nginx outcome:failure": "",
    "image:nginx outcome:failed": "outcome:failed",
    f"digest:{DIGESTS[0][:20]}": "",
    "mirror:harbor": "",
    "outcome:rolled_back": "",
    "rollout:41": "",
    "by:anna": "",
    "host:web-1 -outcome:updated by:anna": "by:anna",
    "host:web-1 -outcome:updated,skipped": "-outcome:updated,skipped",
    "host:web-1 outcome:failure": "outcome:failure",
    "since:2h": "since:2h",
}
"""Queries, each with those of its terms for which rows must be looked at."""


def test_rows_are_looked_at_only_for_what_no_index_tells(fresh: Database, facts: Facts) -> None:
    for words, looked_at in LOOKED_AT.items():
        with fresh.reading() as connection:
            search = Search.of(connection, parse(words), fresh.now(), UTC)
        assert search is not None
        assert " ".join(map(str, search.rest)) == looked_at, words


@pytest.mark.postgresql
@pytest.mark.parametrize("fresh", ["postgresql"], indirect=True)
def test_page_1000_reads_hardly_more_than_page_1(fresh: Database, facts: Facts) -> None:
    """Counted in pages of the database, over ten pages each, so that noise cannot touch it."""
    ids = sorted((row["id"] for row in facts.updates), reverse=True)
    ends = {page: Cursor(asked=fresh.now()).at(ids[page * LIMIT - 1]) for page in (*range(1, 11), *range(1000, 1010))}
    first, last = (sum(_read(fresh, ends[page]) for page in some) for some in (range(1, 11), range(1000, 1010)))
    assert 0 < last <= 1.2 * first, (first, last)


def _read(db: Database, cursor: str) -> int:
    with statements(db) as sent:
        queries.outcomes(db, Query(), PageRequest(limit=LIMIT, cursor=cursor))
    return sum(buffers(explained(db, *each)) for each in sent)
