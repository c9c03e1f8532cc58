"""What fits, what is coloured, and what a hostile name can do to a terminal."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cli import history, importing, mirror
from fleet.cli.console import Column, clean, colourful, fitting, in_brief, print_table, shorten
from fleet.cli.session import Session

COLUMNS = (Column("HOST"), Column("LABELS", 3), Column("STATE"), Column("AGENT", 2))
ROW = ("web-1", "env=prod", "online", "0.1.0")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_wide_terminal_shows_all() -> None:
    assert fitting(COLUMNS, [ROW], 120) == {0: 5, 1: 8, 2: 6, 3: 5}


def test_the_least_important_goes_first() -> None:
    assert fitting(COLUMNS, [ROW], 25) == {0: 5, 2: 6, 3: 5}
    assert fitting(COLUMNS, [ROW], 16) == {0: 5, 2: 6}


def test_a_column_that_says_nothing_goes_before_any_is_shortened() -> None:
    rows = [("web-1", "env=prod,site=berlin", "online", "-"), ("web-2", "-", "online", "-")]
    assert fitting(COLUMNS, rows, 40) == {0: 5, 1: 20, 2: 6}
    assert fitting(COLUMNS, rows, 50) == {0: 5, 1: 20, 2: 6, 3: 5}
    assert set(fitting(COLUMNS, [("-", "-", "-", "-")], 16)) == {0, 2}


def test_the_days_of_mirrors_name_each_in_full_on_a_terminal_of_80_columns() -> None:
    day = ("2026-11-26", "http://10.77.104.5:5000", "2", "2", "0", "2", "631257", "0.8 s")
    shown = fitting(mirror._DAYS, [day], 80)
    assert shown[1] == len(day[1])
    assert {mirror._DAYS[i].title for i in shown} >= {"SERVED", "FAILURES", "FALLBACKS", "BYTES"}


@given(width=st.integers(1, 200), cells=st.lists(st.text(max_size=40), min_size=4, max_size=4))
def test_what_must_be_shown_always_is(width: int, cells: list[str]) -> None:
    assert {0, 2} <= set(fitting(COLUMNS, [cells], width))


@given(width=st.integers(40, 200), cells=st.lists(st.text(max_size=90), min_size=4, max_size=4))
def test_a_table_is_never_wider_than_the_terminal(width: int, cells: list[str]) -> None:
    widths = fitting(COLUMNS, [cells], width)
    assert sum(widths.values()) + 2 * (len(widths) - 1) <= width


def test_the_history_shows_digests_and_mirrors_on_a_terminal_of_80_columns() -> None:
    digest, mirror = f"{'a' * 12} -> {'b' * 12}", "https://harbor.example.com"
    row = (
        "8c1f2a3b",
        "2026-11-26 18:54:30Z",
        "web-1",
        "app",
        "went back",
        digest,
        mirror,
        "nginx:1",
        "-",
        "#1",
        "anna",
        "-",
    )
    (brief,) = in_brief(history._COLUMNS, [row], 80)
    assert (brief[1], brief[5], brief[6]) == ("11-26 18:54", "b" * 12, "harbor.example.com")
    shown = fitting(history._COLUMNS, [brief], 80)
    assert [history._COLUMNS[i].title for i in shown][-2:] == ["DIGEST", "MIRROR"]
    assert (shown[1], shown[5], shown[6]) == (11, 12, 14)
    assert in_brief(history._COLUMNS, [row], 200) == [row]


def test_a_long_cell_is_shortened_before_a_column_goes() -> None:
    widths = fitting(COLUMNS, [("web-1", "x" * 60, "online", "0.1.0")], 60)
    assert set(widths) == {0, 1, 2, 3}
    assert widths[1] == 60 - 5 - 6 - 5 - 6


def test_the_middle_of_a_long_name_goes() -> None:
    assert shorten("ghcr.io/organisation/image:1.2", 16) == "ghcr.io/or…e:1.2"
    assert shorten("short", 5) == "short"


@given(text=st.text(max_size=80), width=st.integers(1, 100))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    assert len(shorten(text, width)) <= width


@pytest.mark.parametrize("hostile", ["a\x1b[2Jb", "a\rb", "a\nb", "a\x07b", "a\u202eb", "a\x9bb"])
def test_a_name_cannot_steer_the_terminal(hostile: str) -> None:
    assert clean(hostile).startswith("a") and clean(hostile).endswith("b")
    assert not set("\x1b\r\n\x07\u202e\x9b") & set(clean(hostile))


class TestColours:
    @pytest.fixture(autouse=True)
    def _unset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)

    def test_a_terminal_gets_them_and_a_pipe_does_not(self) -> None:
        assert colourful(Session(), Terminal())
        assert not colourful(Session(), io.StringIO())

    def test_no_color_takes_them_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not colourful(Session(no_color=True), Terminal())
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colourful(Session(), Terminal())

    def test_an_empty_no_color_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """no-color.org: only when it is not empty."""
        monkeypatch.setenv("NO_COLOR", "")
        assert colourful(Session(), Terminal())

    def test_force_color_gives_them_to_a_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert colourful(Session(), io.StringIO())

    def test_a_dumb_terminal_gets_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        assert not colourful(Session(), Terminal())


def test_a_pipe_gets_every_column_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Session(), COLUMNS, [ROW, ("w", "", "silent", "x" * 200)], "nothing")
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["HOST", "LABELS", "STATE", "AGENT"]
    assert "x" * 200 in out
    assert err == ""


def test_where_nothing_is_that_is_said_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Session(), COLUMNS, [], "no hosts")
    assert capsys.readouterr() == ("", "no hosts\n")


@pytest.mark.parametrize("columns", [60, 80])
def test_a_cell_whose_words_all_count_goes_on_below(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """What becomes of an option is an explanation: no part of it may be left out."""
    words = "a new container is started and must prove itself, or the old one comes back; see: fleet policy show"
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", str(columns))
    row = ("--no-restart", "true", "dropped", words)
    print_table(Session(no_color=True), importing._COLUMNS, [row], "")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    at = lines[0].index("HERE")
    assert " ".join(line[at:].strip() for line in lines[1:]) == words
    assert max(map(len, lines)) <= columns
