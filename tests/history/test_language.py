"""The words in which the history is asked: read, printed, and what is said of a mistake."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet.history.questions.language import FAILURE, BadQuery, Query, Term, Word
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Ago, DayStart, Instant, Local, WeekdayStart, When
from fleet.updates.outcome import Result

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_ZONES = some.sampled_from(["", "UTC", "Europe/Paris", "America/New_York"])
_FIRST, _LAST = datetime.fromisoformat("1971-01-02"), datetime.fromisoformat("9998-12-30")
_WALLS = some.datetimes(_FIRST, _LAST)
_OFFSETS = some.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_PRINTABLE = some.text(min_size=1, max_size=12).filter(str.isprintable) | some.sampled_from(
    ["a b", 'say "no"', "back\\slash", "-minus", "a,b", "host:x", "é 漢字", "since:2h", '"', "\\", ":", "--", " "]
)
_VALUES: dict[Word, some.SearchStrategy[str]] = {
    Word.IMAGE: some.sampled_from(["nginx", "nginx:1.27", "ghcr.io/acme/app", f"localhost:5000/a@sha256:{'a' * 64}"]),
    Word.DIGEST: some.sampled_from(["abcdef012345", f"sha256:{'0' * 64}"]),
    Word.OUTCOME: some.sampled_from([FAILURE, *(result.value for result in Result)]),
    Word.ROLLOUT: some.sampled_from(["42", "#42", "0198c0de", "019ab1c2-0000-7000-8000-000000000000"]),
}
_WHENS: some.SearchStrategy[When] = (
    some.integers(0, 10**9).map(lambda seconds: Ago(seconds=seconds))
    | some.builds(Instant, moment=some.datetimes(_FIRST, _LAST, timezones=_OFFSETS))
    | some.builds(Local, wall=_WALLS, zone=_ZONES)
    | some.builds(DayStart, back=some.sampled_from([0, 1]), zone=_ZONES)
    | some.builds(WeekdayStart, weekday=some.integers(0, 6), zone=_ZONES)
)


def _terms(word: Word) -> some.SearchStrategy[Term]:
    if word in (Word.SINCE, Word.UNTIL):
        return _WHENS.map(lambda when: Term(word=word, when=when))
    values = some.lists(_VALUES.get(word, _PRINTABLE), min_size=1, max_size=3).map(tuple)
    return some.builds(Term, word=some.just(word), values=values, negated=some.booleans())


QUERIES = some.lists(some.sampled_from(list(Word)).flatmap(_terms), max_size=5).map(
    lambda terms: Query(terms=tuple(terms))
)


@given(QUERIES)
def test_a_query_is_read_back_as_it_was_printed(query: Query) -> None:
    assert parse(str(query)) == query


@given(some.text(max_size=40) | some.text(alphabet='-:,"\\ host since 2h[]', max_size=30))
def test_any_text_is_a_query_that_prints_or_a_mistake_with_a_place(text: str) -> None:
    try:
        query = parse(text)
    except BadQuery as wrong:
        assert 0 <= wrong.position <= len(text)
        assert str(wrong).startswith("cannot understand the query at character ")
    else:
        assert parse(str(query)) == query


def test_words_lists_minus_and_quotes_are_read() -> None:
    query = parse('  host:web-1,"the other"   -outcome:updated image:nginx:1.27 "timed \\"out\\"" -plain since:1h30m ')
    assert query.terms == (
        Term(word=Word.HOST, values=("web-1", "the other")),
        Term(word=Word.OUTCOME, values=("updated",), negated=True),
        Term(word=Word.IMAGE, values=("nginx:1.27",)),
        Term(word=Word.TEXT, values=('timed "out"',)),
        Term(word=Word.TEXT, values=("plain",), negated=True),
        Term(word=Word.SINCE, when=Ago(seconds=5400)),
    )
    assert parse("") == Query()


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("host:web mirorr:x", 9, "no word mirorr; did you mean mirror"),
        ("https://x.lan", 0, "text with a colon is put into quotes"),
        ("host:", 5, "a value is missing"),
        ("host:a,,b", 7, "a value is missing"),
        ("-", 1, "a value is missing"),
        ('host:"web', 5, "never closed"),
        ('host:a"b"', 6, "put the whole value into quotes"),
        ('"a\\n"', 2, "after a backslash"),
        ("-since:2h", 0, "since cannot be negated; use until"),
        ("-until:2h", 0, "until cannot be negated; use since"),
        ("since:2h,3h", 6, "takes one time"),
        ("since:soon", 6, "expected something like 2h"),
        ("since:2026-13-01", 6, "expected something like 2h"),
        ("since:2026-11-25[Mars/Base]", 6, "no time zone Mars/Base"),
        ("since:2026-11-25T08:00Z[UTC]", 6, "not both"),
        ("since:0001-01-01", 6, "expected a year from"),
        ("since:999999w", 6, "100 years at most"),
        ("outcome:updated,fine", 16, "expected one of failure, updated"),
        ("digest:abc", 7, "at least 12 hex digits"),
        ("rollout:last", 8, "expected a rollout's number"),
        ("image:NOT", 6, "lower case"),
        ("a\0b", 0, "cannot be printed"),
        ("x " * 51, 100, "50 terms are the most"),
        ("x," * 51, 99, "50 values are the most"),
        ("x" * 2001, 2000, "2000 are the most"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, position: int, says: str) -> None:
    with pytest.raises(BadQuery) as wrong:
        parse(text)
    assert (wrong.value.position, says in wrong.value.reason) == (position, True), str(wrong.value)
    shown, mark = wrong.value.pointer.splitlines()
    assert len(shown) <= 76
    assert mark.index("^") == 2 + min(position, 50)


@pytest.mark.parametrize(
    ("text", "shown", "mark"),
    [
        (f"host:{'a' * 60} mirorr:x", f"  ...{'a' * 46} mirorr:x", 52),
        (f"mirorr:{'b' * 60}", f"  mirorr:{'b' * 14}...", 2),
        ("漢字 mirorr:x", "  漢字 mirorr:x", 7),
        ("e\u0301 mirorr:x", "  e\u0301 mirorr:x", 4),
        ("a\n\tmirorr:x", "  a??mirorr:x", 5),
    ],
)
def test_the_mark_stands_under_the_mistake_on_a_terminal(text: str, shown: str, mark: int) -> None:
    """However long the query is, and however wide its signs are."""
    with pytest.raises(BadQuery) as wrong:
        parse(text)
    assert wrong.value.pointer == f"{shown}\n{' ' * mark}^"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("2h", NOW - timedelta(hours=2)),
        ("1w2d", NOW - timedelta(days=9)),
        ("2026-11-25T08:00Z", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("2026-11-25T08:00+02:00", datetime(2026, 11, 25, 6, tzinfo=UTC)),
        ("2026-11-25T08:00[Europe/Paris]", datetime(2026, 11, 25, 7, tzinfo=UTC)),
        ("2026-07-25[Europe/Paris]", datetime(2026, 7, 24, 22, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 25, 5, tzinfo=UTC)),
        ("today", datetime(2026, 11, 25, 5, tzinfo=UTC)),
        ("yesterday[Asia/Tokyo]", datetime(2026, 11, 23, 15, tzinfo=UTC)),
        ("Friday[UTC]", datetime(2026, 11, 20, tzinfo=UTC)),
        ("wednesday[Asia/Tokyo]", datetime(2026, 11, 24, 15, tzinfo=UTC)),
    ],
)
def test_a_time_means_one_instant_whoever_asks(text: str, at: datetime) -> None:
    """Where no zone is written, that of whoever asks counts: here New York's."""
    (term,) = parse(f"since:{text}").terms
    assert term.when is not None
    assert term.when.at(NOW, ZoneInfo("America/New_York")) == at


def test_the_language_needs_no_sql() -> None:
    program = "import sys, fleet.history.questions.language_parse; sys.exit(any(m.startswith('sqlalchemy') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
