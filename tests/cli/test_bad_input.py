"""Bad input: one line that begins with "cannot", the right exit code, nothing changed, never a trace."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.controller.centre import ScriptedHost

BAD = (
    (("host", "show", "nobody"), 5),
    (("host", "rename", "nobody", "x"), 5),
    (("host", "rm", "nobody", "--yes"), 5),
    (("host", "add", "a b"), 1),
    (("host", "add", "x", "--label", "env"), 1),
    (("host", "rename", "web-1", "a/b"), 1),
    (("update", "nobody"), 5),
    (("update", "web-1", "nobody", "--no-check"), 5),
    (("plan", "--host", "nobody"), 5),
    (("plan", "--image", ""), 1),
    (("apply", "00000000"), 5),
    (("apply", "missing.json"), 1),
    (("apply", "/etc/hostname"), 1),
    (("mirror", "explain", "NGINX"), 1),
    (("mirror", "explain", "nginx", "--host", "nobody"), 5),
    (("mirror", "explain", "nginx@sha256:123"), 1),
    (("schedule", "create", "n", "--cron", "every night"), 1),
    (("schedule", "create", "n", "--cron", "61 * * * *"), 1),
    (("schedule", "create", "n", "--cron", "0 3 * * *", "--zone", "Mars/Olympus"), 1),
    (("schedule", "run", "nobody"), 5),
    (("schedule", "rm", "nobody"), 5),
    (("history", "--since", "tomorrow"), 1),
    (("history", "--page", "nonsense"), 1),
    (("history", "--rollout", "00000000"), 5),
    (("history", "show", "00000000"), 5),
    (("rollout", "show", "#99"), 5),
    (("rollout", "watch", "00000000"), 5),
    (("rollout", "abort", "#99"), 5),
    (("token", "revoke", "nobody"), 5),
    (("token", "create", "x", "--ttl", "soon"), 1),
    (("policy", "apply", "-f", "missing.toml"), 1),
    (("policy", "apply", "-f", "/dev/null"), 1),
    (("policy", "rm", "--host", "nobody"), 5),
    (("history", "changes", "nobody"), 5),
    (("history", "chain", "nobody", "web"), 5),
    (("policy", "show", "--host", "nobody"), 5),
    (("ps", "--label", "env"), 1),
    (("ps", "nobody"), 5),
    (("ps", "--host", "nobody"), 5),
    (("outdated", "--host", "nobody"), 5),
    (("host", "ls", "nobody"), 5),
    (("host", "show", ""), 1),
    (("host", "label", "web-1", "timezone=Mars/Olympus"), 1),
    (("host", "rejoin", "nobody", "--out", "-"), 5),
    (("host", "add", "x", "--out", "/nowhere/x"), 1),
    (("host", "rm", "web-1"), 6),
    (("undo", "nobody", "web"), 5),
    (("undo", "web-1", "nobody"), 5),
    (("undo", "web-1", "web"), 6),
    (("plan", "--no-check", "--out", "/dev/full"), 1),
    (("plan", "--spec", "/"), 1),
    (("rollout", "start", "--host", "nobody"), 5),
    (("rollout", "undo", "#99"), 5),
    (("approve", "#99"), 5),
    (("history", "ls", "colour:red"), 1),
    (("history", "ls", '"'), 1),
    (("audit", "--page", "x"), 1),
    (("mirror", "test", "nobody"), 5),
    (("rehearse", "/nowhere"), 1),
    (("schedule", "create", "n", "--cron", "0 3 31 2 *"), 1),
    (("schedule", "create", "n", "--cron", "0 3 * * *", "--zone", "../../etc/passwd"), 1),
    (("schedule", "create", "n", "--cron", "0 3 * * *", "--host", "nobody"), 5),
    (("freeze", "--host", "nobody"), 5),
    (("freeze", "--until", "2020-01-01T00:00Z"), 1),
    (("hold", "web", "--host", "nobody"), 5),
    (("snooze", "web"), 1),
    (("skip", "nginx@sha256:12"), 1),
    (("unhold", "nobody"), 5),
    (("cap", "set", "a b", "3"), 1),
    (("cap", "set", "site", "200%"), 1),
    (("cap", "rm", "nobody"), 5),
    (("token", "create", "x", "--ttl", "0s"), 1),
    (("policy", "apply", "-f", "/"), 1),
    (("import", "mirrors", "/nowhere"), 1),
    (("import", "mirrors", "/etc/hostname"), 1),
    (("update", "web-1", "--timeout", "soon"), 1),
    (("history", "who-runs", "sha256:xyz"), 1),
    (("schedule", "rm", "../x"), 1),
    (("ps", "x" * 5000), 5),
    (("skip", ""), 1),
    (("freeze", "--for", "0s"), 1),
)
LISTS = (
    ("host", "ls"),
    ("rollout", "ls"),
    ("schedule", "ls"),
    ("stops",),
    ("cap", "ls"),
    ("token", "ls"),
    ("policy", "show"),
)
"""What a bad command could have changed."""


@pytest.mark.redis
@pytest.mark.usefixtures("served")
def test_is_answered_in_one_line(fleet: Fleet, web1: ScriptedHost, subtests: pytest.Subtests) -> None:
    before = [json.loads(fleet(*seen, "-o", "json").out) for seen in LISTS]
    for args, code in BAD:
        with subtests.test(args=args):
            ran = fleet(*args)
            assert ran.code == code, (ran.out, ran.err)
            assert ran.out == ""
            assert ran.err.startswith("cannot "), ran.err
            assert len(ran.err.splitlines()) == 1
    assert [json.loads(fleet(*seen, "-o", "json").out) for seen in LISTS] == before


@pytest.mark.redis
@pytest.mark.usefixtures("served")
class TestPolicyFiles:
    BROKEN = (
        "[[mirrors]\n",
        '{"mirrors": [',
        "[1]",
        '[[mirrors]]\nfor = "docker.io"\n',
        '[[mirrors]]\nfor = "docker.io"\nurl = "ftp://x"\n',
        '[[mirrors]]\nfor = "docker.io"\nurl = "https://x"\nshape = "round"\n',
        'colour = "red"\n',
        '[[mirrors]]\nfor = "docker io"\nurl = "https://x"\n',
    )

    def test_one_that_cannot_be_used_changes_nothing(
        self, fleet: Fleet, tmp_path: Path, subtests: pytest.Subtests
    ) -> None:
        for text in self.BROKEN:
            with subtests.test(text=text):
                (tmp_path / "p").write_text(text)
                ran = fleet("policy", "apply", "-f", str(tmp_path / "p"))
                assert (ran.code, ran.err.startswith("cannot ")) == (1, True), ran.err
                assert "no policy was written" in fleet("policy", "show").err

    def test_a_host_and_a_label_at_once_are_refused(self, fleet: Fleet) -> None:
        ran = fleet("policy", "apply", "-f", "-", "--host", "a", "--label", "b=c")
        assert (ran.code, ran.err.startswith("cannot ")) == (1, True)


class TestNoServer:
    @pytest.fixture(autouse=True)
    def _nobody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLEET_STATE_DIR", str(tmp_path))

    @pytest.mark.parametrize("args", [("ps",), ("healthcheck",), ("update", "web-1"), ("plan",), ("host", "ls")])
    def test_exits_8_and_says_what_starts_one(self, fleet: Fleet, args: tuple[str, ...]) -> None:
        ran = fleet(*args)
        assert ran.code == 8
        assert ran.err.startswith("cannot reach the server")
        assert "fleet up" in ran.err

    def test_doctor_says_so_as_a_check(self, fleet: Fleet) -> None:
        ran = fleet("doctor")
        assert ran.code == 1
        assert ran.lines[0].startswith("FAIL")
        assert any(line.startswith("SKIP") for line in ran.lines)

    @pytest.mark.parametrize("server", ["fleet.lan", "http://fleet.lan", "https://a@b", "unix://here"])
    def test_a_server_that_is_none_is_refused(self, fleet: Fleet, server: str) -> None:
        ran = fleet("--server", server, "ps")
        assert (ran.code, ran.err.startswith("cannot ")) == (1, True)


class TestOnThisMachine:
    """Commands that work on this machine, without a server."""

    @pytest.fixture(autouse=True)
    def _state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLEET_STATE_DIR", str(tmp_path / "state"))
        monkeypatch.delenv("FLEET_SOCKET", raising=False)
        (tmp_path / "text").write_text("no such thing")
        (tmp_path / "text").chmod(0o600)
        (tmp_path / "empty.join").write_text("{}")
        (tmp_path / "empty.join").chmod(0o600)

    BAD: tuple[tuple[tuple[str, ...], dict[str, str], int], ...] = (
        (("agent",), {}, 1),
        (("agent", "--join", "{}/nothing"), {}, 1),
        (("agent", "--join", "{}/text"), {}, 1),
        (("agent", "--join", "{}/empty.join"), {}, 1),
        (("agent", "--join", "{}"), {}, 1),
        (("up", "--state-dir", "{}/text"), {}, 1),
        (("up", "--engine", "nonsense"), {}, 1),
        (("controller",), {}, 1),
        (("controller",), {"FLEET_BROKER_URL": "nonsense"}, 1),
        (("controller", "--only", "web"), {"FLEET_BROKER_URL": "redis://h", "FLEET_DATABASE_URL": "nonsense"}, 1),
        (("controller",), {"FLEET_CHECK_EVERY_S": "often"}, 1),
        (("init", "{}/text", "--name", "a"), {}, 1),
        (("init", "{}/new", "--name", "a b"), {}, 1),
        (("init", "{}/new", "--name", ""), {}, 1),
        (("db", "current"), {"FLEET_DATABASE_URL": "sqlite:////nowhere/x.db"}, 5),
        (("db", "current"), {"FLEET_DATABASE_URL": "sqlite:///{}/text"}, 1),
        (("db", "upgrade"), {"FLEET_DATABASE_URL": "sqlite:///{}/text"}, 1),
        (("db", "upgrade"), {"FLEET_DATABASE_URL": "mysql://x/y"}, 1),
        (("db", "stats"), {"FLEET_DATABASE_URL": "sqlite:///{}/empty"}, 5),
        (("db", "stats"), {"FLEET_LOG_LEVEL": "loud"}, 1),
        (("db", "restore", "{}/nothing"), {}, 1),
    )

    def test_is_answered_in_one_line(
        self, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
    ) -> None:
        for args, environment, code in self.BAD:
            with subtests.test(args=args, environment=environment), monkeypatch.context() as patch:
                for name, value in environment.items():
                    patch.setenv(name, value.replace("{}", str(tmp_path)))
                ran = fleet(*(each.replace("{}", str(tmp_path)) for each in args))
                assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1), ran.err
                assert ran.err.startswith("cannot "), ran.err
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("where", ["/dev/full", None])
    def test_an_output_that_takes_nothing_is_told_without_a_trace(self, where: str | None) -> None:
        """A full disk, and an output that was closed before the start."""
        with open(where or os.devnull, "w") as out:  # noqa: PTH123
            closed = {} if where else {"preexec_fn": lambda: os.close(1)}
            command = [sys.executable, "-m", "fleet.cli.main", "version"]
            ran = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False, **closed)  # type: ignore[call-overload]
        assert (ran.returncode, ran.stderr) == ((1, "cannot go on: No space left on device\n") if where else (0, ""))


class TestTokenFile:
    def test_a_missing_one_is_told(self, fleet: Fleet, tmp_path: Path) -> None:
        ran = fleet("--server", "https://127.0.0.1:1", "--token-file", str(tmp_path / "no"), "ps")
        assert (ran.code, ran.err.startswith("cannot read the token file")) == (1, True)

    @pytest.mark.parametrize("text", ["", "two words", "é", "a\nb"])
    def test_what_is_no_token_is_told_and_not_repeated(self, fleet: Fleet, tmp_path: Path, text: str) -> None:
        (tmp_path / "t").write_text(text)
        ran = fleet("--server", "https://127.0.0.1:1", "--token-file", str(tmp_path / "t"), "ps")
        assert (ran.code, ran.err.startswith("cannot use the token file")) == (1, True)
        assert "two words" not in ran.err


def test_what_click_refuses_is_usage(fleet: Fleet) -> None:
    for args in (("ps", "--nonsense"), ("history", "--outcome", "well"), ("update",), ("-o", "xml", "ps")):
        assert fleet(*args).code == 2, args
