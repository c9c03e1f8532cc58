"""Each query gives what a naive scan over the rows gives, in pages that neither lose nor repeat a row."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sqlalchemy import event, null, update

from fleet.errors import BadInput
from fleet.history.questions import outcome_pages, queries, query_ways
from fleet.history.questions.days import close_days
from fleet.history.questions.language import FAILURE, Query, Term, Word
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Ago
from fleet.history.questions.outcome_queries import OutcomeRow
from fleet.history.questions.query_bounds import closed_until, highest
from fleet.history.sql.database import Database
from fleet.history.sql.pages import PageRequest
from fleet.history.tables.days import days
from fleet.history.tables.facts import FAILURES, updates
from fleet.images.reference import Reference
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.facts import (
    ASKERS,
    CONTAINERS,
    DIGESTS,
    HOSTS,
    IMAGES,
    MIRRORS,
    Facts,
    insert_updates,
    new_update,
    write_facts,
)

ROWS = 100


@pytest.fixture
def facts(db: Database, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """Some rows, and windows so small that every page meets their end."""
    monkeypatch.setattr(outcome_pages, "WINDOW", 11)
    monkeypatch.setattr(outcome_pages, "SCATTERED", 11)
    return write_facts(db, ROWS, seed=7, now=clock.now())


def walk(db: Database, query: Query, limit: int = 4, meanwhile: Callable[[], None] = lambda: None) -> list[OutcomeRow]:
    """Return the rows of all pages; *meanwhile* is called between them."""
    found: list[OutcomeRow] = []
    cursor = ""
    while True:
        page = queries.outcomes(db, query, PageRequest(limit=limit, cursor=cursor))
        assert len(page.items) <= limit
        found += page.items
        if not page.next:
            return found
        assert page.next != cursor
        cursor = page.next
        meanwhile()


def _values(word: Word, facts: Facts) -> list[str]:
    known: dict[Word, list[str]] = {
        Word.HOST: [*HOSTS, "web-*", "*1", "nobody", str(facts.hosts["db"]), "edge?1"],
        Word.IMAGE: ["nginx", *IMAGES, "ghcr.io/acme/app", f"nginx@{DIGESTS[1]}", "busybox"],
        Word.CONTAINER: [*CONTAINERS, "*_car", "a*", "none"],
        Word.DIGEST: [*DIGESTS, DIGESTS[0][:20], DIGESTS[1].removeprefix("sha256:")[:12], "0" * 64],
        Word.MIRROR: [*MIRRORS[1:], "lan", "mirror_1", "mirrorx1", "HARBOR"],
        Word.OUTCOME: [FAILURE, *(result.value for result in Result)],
        Word.ROLLOUT: ["1", "#41", "99", str(facts.rollouts[2]), facts.rollouts[1].hex[-8:]],
        Word.BY: [*ASKERS, "anna", "nightly", "nobody"],
        Word.TEXT: ["port 80", "10%", "of_it", 'said "no"', "nginx", "harbor", "App", "never"],
    }
    return known[word]


def _queries(facts: Facts) -> some.SearchStrategy[Query]:
    def terms(word: Word) -> some.SearchStrategy[Term]:
        if word in (Word.SINCE, Word.UNTIL):
            return some.integers(0, 11 * 24).map(lambda hours: Term(word=word, when=Ago(seconds=hours * 3600)))
        values = some.lists(some.sampled_from(_values(word, facts)), min_size=1, max_size=3).map(tuple)
        return some.builds(Term, word=some.just(word), values=values, negated=some.booleans())

    return some.lists(some.sampled_from(list(Word)).flatmap(terms), max_size=3).map(lambda t: Query(terms=tuple(t)))


def fits(row: dict[str, Any], term: Term, facts: Facts, clock: HeldClock) -> bool:
    """Tell whether a row fits a term, by the words of the documentation and without SQL."""
    if isinstance(term.when, Ago):
        at = clock.now() - timedelta(seconds=term.when.seconds)
        return bool(row["recorded_at"] >= at) if term.word is Word.SINCE else bool(row["recorded_at"] < at)
    return any(_means(row, term.word, value, facts) for value in term.values) != term.negated


def _means(row: dict[str, Any], word: Word, value: str, facts: Facts) -> bool:
    match word:
        case Word.HOST:
            name = next(name for name, id in facts.hosts.items() if id == row["host_id"])
            return _glob(name, value) or str(row["host_id"]) == value
        case Word.IMAGE:
            wanted = Reference.parse(value)
            tag = wanted.tag is None or row["image"] == f"{wanted.name}:{wanted.tag}"
            digest = wanted.digest is None or row["new_digest"] == str(wanted.digest)
            return bool(row["repository"] == wanted.name and tag and digest)
        case Word.CONTAINER:
            return _glob(row["container"], value)
        case Word.DIGEST:
            begins = value if ":" in value else f"sha256:{value}"
            return any(row[name].startswith(begins) for name in ("old_digest", "new_digest"))
        case Word.MIRROR:
            return value in row["mirror"]
        case Word.OUTCOME:
            return row["result"] in (FAILURES if value == FAILURE else (value,))
        case Word.ROLLOUT:
            number = next(number for number, id in facts.rollouts.items() if id == row["rollout_id"])
            return value in (str(number), f"#{number}", str(row["rollout_id"]), row["rollout_id"].hex[-8:])
        case Word.BY:
            return str(row["asked_by"]).endswith(value if ":" in value else f":{value}")
        case Word.TEXT:
            return any(value in row[name] for name in ("reason", "container", "image", "mirror"))
    raise AssertionError(word)


def _glob(name: str, value: str) -> bool:
    return re.fullmatch(re.escape(value).replace(r"\*", ".*").replace(r"\?", "."), name) is not None


def test_each_query_gives_what_a_naive_scan_gives(db: Database, facts: Facts, clock: HeldClock) -> None:
    @settings(max_examples=25, deadline=None)
    @given(_queries(facts))
    def check(query: Query) -> None:
        wanted = [row["id"] for row in facts.updates if all(fits(row, term, facts, clock) for term in query.terms)]
        assert [row.id for row in walk(db, query, 11)] == sorted(wanted, reverse=True), str(query)

    check()
    assert close_days(db) >= 9
    check()


def test_a_time_in_a_closed_day_ends_at_the_highest_id_that_was_written_before_it(db: Database, facts: Facts) -> None:
    """Not at that of its day: a busy day has more rows than a page looks at."""
    written = sorted((row["recorded_at"], row["id"]) for row in facts.updates)

    def high(until: datetime) -> UUID | None:
        with db.reading() as connection:
            return highest(connection, until)

    def exact(until: datetime) -> UUID | None:
        return max((id for at, id in written if at < until), default=None)

    close_days(db)
    with db.reading() as connection:
        closed = closed_until(connection)
    assert closed is not None
    moments = [at + timedelta(minutes=minutes) for at, _ in written for minutes in (0, 17)]
    moments = [until for until in moments if until <= closed]
    assert len(moments) > 50
    assert [high(until) for until in moments] == [exact(until) for until in moments]
    with db.writing() as connection:  # as an earlier release closed them
        connection.execute(update(days).values(reach=null()))
    wide = [high(until) for until in moments]
    assert wide != [exact(until) for until in moments]
    assert all(
        found is not None and found >= (exact(until) or found) for found, until in zip(wide, moments, strict=True)
    )
    assert close_days(db) == 0
    assert [high(until) for until in moments] == [exact(until) for until in moments]


def test_no_page_loses_or_repeats_a_row_while_others_are_written(db: Database, facts: Facts, clock: HeldClock) -> None:
    """What was there when the walk began comes once; what comes later comes once or not at all."""
    random = Random(3)
    late: list[UUID] = []

    def write() -> None:
        clock.move(seconds=1)
        rows = [new_update(random, facts, clock.now() - timedelta(days=random.choice((0, 0, 5)))) for _ in range(2)]
        for row in rows:
            row["recorded_at"] = clock.now()
        insert_updates(db, rows)
        late.extend(row["id"] for row in rows)

    query = parse("-outcome:skipped since:8d")
    before = {row["id"] for row in facts.updates if all(fits(row, term, facts, clock) for term in query.terms)}
    seen = [row.id for row in walk(db, query, meanwhile=write)]
    assert len(late) > 20
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert set(seen) - set(late) == before


@pytest.mark.parametrize("text", ["-outcome:skipped,failed,abandoned", "host:web-* outcome:failed", "port"])
def test_a_row_written_between_two_statements_of_a_page_ends_no_walk(
    pg: Database, clock: HeldClock, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Each statement of a page sees what was committed by then: what it looks at must not shift."""
    monkeypatch.setattr(outcome_pages, "SCATTERED", 6)
    monkeypatch.setattr(outcome_pages, "WINDOW", 40)
    facts = write_facts(pg, ROWS, seed=7, now=clock.now())
    query, random, late = parse(text), Random(5), 0

    def write(*_: object) -> None:
        nonlocal late
        if late < 2 * ROWS and not writing:
            writing.append(True)
            clock.move(seconds=1)
            row = {**new_update(random, facts, clock.now()), "recorded_at": clock.now()}
            row |= {"result": Result.FAILED, "reason": "cannot use port 80", "host_id": facts.hosts["web-1"]}
            insert_updates(pg, [row])
            late += 1
            writing.clear()

    writing: list[bool] = []
    before = {row["id"] for row in facts.updates if all(fits(row, term, facts, clock) for term in query.terms)}
    event.listen(pg.engine, "after_cursor_execute", write)
    try:
        seen = [row.id for row in walk(pg, query, 8)]
    finally:
        event.remove(pg.engine, "after_cursor_execute", write)
    assert late > 3
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_what_is_too_much_for_indexes_is_looked_at_row_by_row(
    db: Database, facts: Facts, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_ways, "MOST_BRANCHES", 1)
    monkeypatch.setattr(query_ways, "MOST_MIRRORS", 1)
    for text in ("host:web-*", "mirror:lan", f"digest:{DIGESTS[0][:20]}", "by:anna", "outcome:failure", "rollout:1,2"):
        query = parse(text)
        wanted = [row["id"] for row in facts.updates if all(fits(row, term, facts, clock) for term in query.terms)]
        assert [row.id for row in walk(db, query)] == sorted(wanted, reverse=True), text


def test_relative_times_mean_the_same_on_every_page(db: Database, facts: Facts, clock: HeldClock) -> None:
    query = parse("since:9d")
    wanted = {row["id"] for row in facts.updates if all(fits(row, term, facts, clock) for term in query.terms)}
    seen = walk(db, query, meanwhile=lambda: clock.move(hours=3))
    assert {row.id for row in seen} == wanted


def test_a_cursor_that_is_none_is_refused(db: Database) -> None:
    for cursor in ("x", "0" * 31, f"{'0' * 32}-zz", f"{'0' * 32}-{'f' * 40}", f"{'0' * 32}--3883122cd800"):
        with pytest.raises(BadInput, match="as a cursor"):
            queries.outcomes(db, parse("since:2h"), PageRequest(cursor=cursor))


def test_a_cursor_of_the_far_future_is_one_of_now(db: Database, facts: Facts, clock: HeldClock) -> None:
    far = f"{'f' * 32}-e677d21fd818"
    page = queries.outcomes(db, parse("since:9d until:today[Asia/Tokyo]"), PageRequest(cursor=far, limit=5))
    assert page.items == queries.outcomes(db, parse("since:9d until:today[Asia/Tokyo]"), PageRequest(limit=5)).items


def test_a_moment_of_asking_is_kept_to_the_digit_on_every_page(db: Database, facts: Facts, clock: HeldClock) -> None:
    """PostgreSQL's clock tells microseconds: a row at the edge is in the time on each page, or on none."""
    clock.move(microseconds=999)
    for number, row in enumerate(facts.updates):
        at = clock.now() - timedelta(hours=2, microseconds=400 + number % 2 * 1100)
        with db.writing() as connection:
            connection.execute(update(updates).where(updates.c.id == row["id"]).values(recorded_at=at))
    found = [row.id for row in walk(db, parse("until:2h"))]
    assert found == sorted((row["id"] for row in facts.updates[1::2]), reverse=True)


def test_times_without_a_zone_are_those_of_whoever_asks(db: Database, facts: Facts) -> None:
    query, page = parse("since:2026-11-25T11:00"), PageRequest(limit=1000)
    in_paris = queries.outcomes(db, query, page, zone=ZoneInfo("Europe/Paris")).items
    written = queries.outcomes(db, parse("since:2026-11-25T11:00[Europe/Paris]"), page).items
    assert in_paris == written
    assert len(written) > len(queries.outcomes(db, query, page).items)
