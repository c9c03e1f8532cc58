"""Bad input: one line that begins with "cannot", the right exit code, nothing changed, never a trace."""

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
    (("policy", "show", "--host", "nobody"), 5),
    (("ps", "--label", "env"), 1),
    (("update", "web-1", "--timeout", "soon"), 1),
)


@pytest.mark.redis
@pytest.mark.usefixtures("served")
def test_is_answered_in_one_line(fleet: Fleet, web1: ScriptedHost, subtests: pytest.Subtests) -> None:
    for args, code in BAD:
        with subtests.test(args=args):
            ran = fleet(*args)
            assert ran.code == code, (ran.out, ran.err)
            assert ran.out == ""
            assert ran.err.startswith("cannot "), ran.err
            assert len(ran.err.splitlines()) == 1


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
