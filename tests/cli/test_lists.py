"""Every list takes the same options: its form, its columns, its order, names alone."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from fleet.cli.listing import Listing, NamedListing
from fleet.cli.main import fleet as command_line
from fleet.cli.session import CSV, JSON, JSONL, WIDE, YAML
from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, Centre, ScriptedHost
from tests.web.test_routes import IMAGE, carry_out

LISTS = (
    ("ps",),
    ("outdated",),
    ("stops",),
    ("audit",),
    ("host", "ls"),
    ("schedule", "ls"),
    ("token", "ls"),
    ("notify", "ls"),
    ("cap", "ls"),
    ("rollout", "ls"),
    ("mirror", "ls"),
    ("mirror", "stats"),
    ("history", "ls"),
    ("history", "who-runs", "nginx"),
    ("history", "changes", "web-*"),
    ("history", "chain", "web-2", "web"),
    ("history", "mirrors"),
    ("history", "durations"),
    ("history", "compared"),
)
"""Each list over the API that needs no host's answer."""
served = pytest.mark.usefixtures("served")


@pytest.fixture
def full(fleet: Fleet, centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """A centre with something in every list but those of mirrors."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    for name in ("web-10", "web-2"):
        centre.add_host(name)
    fleet("host", "label", "web-1", "site=paris")
    fleet("update", "web-1", "--no-check", "--detach")
    carry_out(centre, web1)
    fleet("schedule", "create", "nightly", "--cron", "0 3 * * *")
    fleet("freeze", "--host", "web-2")
    fleet("token", "create", "laptop")
    fleet("notify", "add", "ops", "https://chat.lan/hook")
    fleet("cap", "set", "site", "25%")
    return web1


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {path}", leaf) for path, leaf in _commands(command, context))
        else:
            yield name, command


def test_whatever_is_called_a_list_is_one() -> None:
    """Every ``ls``, and every command whose help begins with List, takes the options of lists."""
    assert isinstance(command_line, click.Group)
    found = dict(_commands(command_line, click.Context(command_line)))
    lists = {path for path, c in found.items() if path.endswith(" ls") or (c.help or "").startswith("List ")}
    assert len(lists) > 10
    assert {path for path in lists if not isinstance(found[path], Listing)} == set()
    assert {path for path, c in found.items() if path.endswith(" ls") and not isinstance(c, NamedListing)} == {
        "mirror ls"
    }


@served
@pytest.mark.redis
def test_each_takes_every_form_and_an_empty_one_keeps_its_header(
    fleet: Fleet, centre: Centre, subtests: pytest.Subtests
) -> None:
    centre.add_host("web-2")
    for words in LISTS:
        with subtests.test(words=words):
            for form in (WIDE, JSON, JSONL):
                ran = fleet(*words, "-o", form)
                assert ran.code == 0, ran.err
            assert yaml.safe_load(fleet(*words, "-o", YAML).out) == json.loads(fleet(*words, "-o", JSON).out)
            header = next(csv.reader(io.StringIO(fleet(*words, "-o", CSV).out)))
            assert len(header) >= 3
            shown = fleet(*words, "-o", CSV, "--columns", f"{header[2]},{header[0]}", "--sort", header[0])
            assert shown.lines[0].split(",") == [header[2], header[0]]


@served
@pytest.mark.redis
def test_csv_says_what_json_lines_say_and_what_the_empty_list_promised(
    fleet: Fleet, full: ScriptedHost, subtests: pytest.Subtests
) -> None:
    for words in LISTS:
        with subtests.test(words=words):
            lines = [json.loads(line) for line in fleet(*words, "-o", JSONL).lines]
            header, *rows = csv.reader(io.StringIO(fleet(*words, "-o", CSV).out))
            filled = words[0] != "mirror" and words[-1] not in ("mirrors", "compared", "web")
            assert len(rows) == len(lines) >= filled
            assert all(list(line) == header for line in lines)


@served
@pytest.mark.redis
def test_columns_and_order_are_chosen_by_what_stands_above_them(fleet: Fleet, full: ScriptedHost) -> None:
    ran = fleet("host", "ls", "--columns", "state,name", "--sort", "-name")
    assert [line.split() for line in ran.lines] == [
        ["STATE", "NAME"], ["new", "web-10"], ["new", "web-2"], ["online", "web-1"]
    ]  # fmt: skip
    for order in ("seen", "-seen"):  # who was never seen comes last either way
        assert fleet("host", "ls", f"--sort={order}", "--no-headers").lines[0].startswith("web-1")
    assert fleet("host", "ls", "-o", CSV, "--columns", "name", "--sort", "name", "--no-headers").lines == [
        "web-1", "web-2", "web-10"
    ]  # fmt: skip
    assert fleet("host", "ls", "-o", JSONL, "--columns", "name", "--sort", "-name").lines[0] == '{"name":"web-10"}'


@served
@pytest.mark.redis
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("host", "ls", "--columns", "nmae"), "cannot find the column 'nmae'; there are name, state, seen"),
        (("host", "ls", "--sort", "-nmae"), "cannot find the column 'nmae'"),
        (("host", "ls", "-o", "csv", "--columns", "seen"), "cannot find the column 'seen'; there are id, name"),
        (("host", "ls", "-q", "-o", "csv"), "cannot print names alone as csv"),
        (("host", "ls", "--sort", "name", "-o", "json"), "cannot use --sort with -o json"),
        (("host", "ls", "-q", "-o", "json"), "cannot use --quiet with -o json"),
        (("host", "ls", "--no-headers", "-o", "json"), "cannot use --no-headers with -o json"),
        (("history", "ls", "--all", "-o", "csv", "--sort", "host"), "cannot sort what is printed as it comes"),
    ],
)
def test_what_does_not_go_together_is_said(fleet: Fleet, words: tuple[str, ...], said: str) -> None:
    ran = fleet(*words)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(said)


@served
@pytest.mark.redis
@pytest.mark.parametrize("usual", ["json", "csv"])
def test_what_is_asked_for_comes_before_the_usual_form(
    fleet: Fleet, web1: ScriptedHost, usual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_OUTPUT", usual)
    assert fleet("host", "ls", "-q").lines == ["web-1"]
    assert "web-1" in fleet("host", "ls", "--sort", "name", "--columns", "name").out
    assert fleet("host", "ls", "-q", "-o", usual).code == 1
    assert fleet("-o", usual, "host", "ls", "-q").code == 1


@served
@pytest.mark.redis
def test_names_alone_are_what_other_commands_take(fleet: Fleet, full: ScriptedHost) -> None:
    assert fleet("host", "ls", "-o", "name").out == fleet("host", "ls", "-q").out != ""
    refused = fleet("mirror", "ls", "-o", "name")
    assert (refused.code, "'name' is not one of" in refused.err) == (2, True)
    assert set(fleet("host", "ls", "-q").lines) == {"web-1", "web-2", "web-10"}
    for words, takes in (
        (("host", "ls"), ("host", "show")),
        (("rollout", "ls"), ("rollout", "show")),
        (("schedule", "ls"), ("schedule", "show")),
        (("history", "ls"), ("history", "show")),
        (("ps",), ("history", "chain")),
        (("history", "who-runs", "nginx"), ("history", "chain")),
        (("stops",), ("unfreeze",)),
        (("cap", "ls"), ("cap", "rm")),
        (("token", "ls"), ("token", "revoke")),
        (("notify", "ls"), ("notify", "show")),
    ):
        (name, *_) = fleet(*words, "-q").lines
        ran = fleet(*takes, *name.split(" "))
        assert ran.code == 0, ran.err


@served
@pytest.mark.redis
def test_rollouts_are_read_page_by_page(fleet: Fleet, full: ScriptedHost) -> None:
    fleet("update", "web-1", "--no-check", "--detach")
    first = fleet("rollout", "ls", "--limit", "1", "-q")
    assert (first.lines, "--page" in first.err) == (["2"], True)
    second = fleet("rollout", "ls", "--limit", "1", "-q", "--page", first.err.split()[-1])
    assert (second.lines, second.err) == (["1"], "")


@pytest.mark.redis
def test_the_lists_of_the_database_are_lists(
    fleet: Fleet, migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fleet.db").write_bytes(migrated.read_bytes())
    monkeypatch.setenv("FLEET_DATABASE_URL", f"sqlite:///{tmp_path / 'fleet.db'}")
    monkeypatch.setenv("FLEET_STATE_DIR", str(tmp_path))
    assert fleet("db", "garbage", "-o", CSV).lines == ["id,host,reason,raw,size_bytes,received_at"]
    assert fleet("db", "stats", "-o", CSV, "--sort", "-bytes").lines[0] == "table,rows,bytes"
    checks = fleet("db", "check", "-o", CSV, "--columns", "ok", "--no-headers")
    assert set(checks.lines) == {"True"}
