"""What hosts wrote is kept so that nothing that shows it is steered by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.history.sql.plain import LONG, SHORT, name, prose


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b]0;title\x07",
        "\x1b[2J",
        "\x9b31m",
        "\x9d0;x\x9c",
        "\x08\x7f",
        "a\rb",
        "nul\0",
        "\u202egnp.exe",
        "\u2066",
        "\ud800",
        "\u2028",
    ],
)
def test_no_sign_that_steers_is_kept(hostile: str) -> None:
    for kept in (name(hostile), prose(hostile)):
        assert kept != hostile
        assert kept.replace("\N{REPLACEMENT CHARACTER}", "").isprintable()
        kept.encode()


@pytest.mark.parametrize("text", ["cannot pull: größer als 5 €", "no\u00a0break", "日本語", "👩\u200d🚒", ""])
def test_what_people_read_is_kept_as_it_is(text: str) -> None:
    assert (name(text), prose(text)) == (text, text)


def test_prose_keeps_its_lines_and_a_name_has_one() -> None:
    assert prose("a\n\tb") == "a\n\tb"
    assert name("a\nb") == "a\N{REPLACEMENT CHARACTER}b"


@given(st.text(st.characters(), max_size=2 * LONG))
def test_any_text_becomes_one_that_every_database_takes(text: str) -> None:
    for kept, most in ((name(text), SHORT), (prose(text), LONG)):
        assert len(kept) <= most
        assert "\0" not in kept
        kept.encode()
