"""The small parts: loops that live on, the watch, problems, resolving, the lock, settings and the command."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from fleet.agent.facts import Facts
from fleet.agent.loop import Loop
from fleet.agent.problems import Problems
from fleet.agent.process import alone
from fleet.agent.resolve import MOST_WAITING, Resolver
from fleet.agent.watch import Watch
from fleet.cli.agent import agent
from fleet.clock import SystemClock
from fleet.errors import BadInput, EngineUnreachable, Refused
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.road.messages import Resolve, Resolved, Up
from fleet.settings.agent import AgentSettings
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.testing.images import build_image
from fleet.testing.registry import ScriptedRegistry


def test_a_step_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.agent.loop.AFTER_FAILURE_S", 0.0)
    taken, done = [0], threading.Event()

    def step() -> float:
        taken[0] += 1
        if taken[0] == 1:
            raise ZeroDivisionError
        if taken[0] == 2:
            raise Refused("cannot do that now")
        done.set()
        return float("inf")

    loop = Loop("test", step)
    loop.start()
    assert done.wait(60)
    loop.stop()
    assert loop.join(60)


def test_a_loop_that_sleeps_is_woken() -> None:
    taken = threading.Semaphore(0)

    def step() -> float:
        taken.release()
        return float("inf")

    loop = Loop("test", step)
    loop.start()
    for _ in range(3):
        assert taken.acquire(timeout=60)
        loop.wake()
    loop.stop()
    assert loop.join(60)


@pytest.mark.parametrize(("once_more", "steps"), [(False, 1), (True, 2)])
def test_what_comes_during_the_last_step_is_taken_by_one_more_where_that_is_wanted(once_more: bool, steps: int) -> None:
    under_way, go_on, taken = threading.Event(), threading.Event(), [0]

    def step() -> float:
        taken[0] += 1
        under_way.set()
        assert go_on.wait(60)
        return float("inf")

    loop = Loop("test", step)
    loop.start()
    assert under_way.wait(60)
    loop.stop(once_more=once_more)
    go_on.set()
    assert loop.join(60)
    assert taken == [steps]


class Heard:
    """When the broker answered last."""

    def __init__(self, clock: ManualClock) -> None:
        self.at: float | None = None
        self.busy = False
        self.ends = 0
        self.clock = clock
        self.watch = Watch(lambda: self.at, lambda: self.busy, self._end, clock=clock, silence_s=120)

    def _end(self) -> None:
        self.ends += 1

    def after(self, seconds: float) -> int:
        """Let time pass, look, and return how often the process was ended."""
        self.clock.advance(seconds)
        self.watch.step()
        return self.ends


def test_a_broker_that_never_answered_ends_the_process_in_time(clock: ManualClock) -> None:
    heard = Heard(clock)
    assert heard.after(119) == 0
    assert heard.after(2) == 1


def test_a_broker_that_answers_lets_the_process_be(clock: ManualClock) -> None:
    heard = Heard(clock)
    for _ in range(10):
        heard.at = clock.monotonic()
        assert heard.after(100) == 0


def test_no_container_is_left_half_way_for_a_silent_broker(clock: ManualClock) -> None:
    heard = Heard(clock)
    heard.busy = True
    assert heard.after(1_000) == 0
    heard.busy = False
    assert heard.after(5) == 1


def test_a_problem_is_told_once_and_briefly() -> None:
    problems = Problems()
    problems.raise_("a", "cannot")
    problems.raise_("a", "cannot " + "x" * 10_000)
    problems.raise_("b", "cannot")
    assert len(problems.lines()) == 2
    assert len(problems.lines()[0]) == 500
    problems.clear("a")
    problems.clear("never")
    assert problems.codes() == {"b"}


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    """Listen on loopback."""
    with ScriptedRegistry() as registry:
        yield registry


@pytest.fixture
def resolver() -> Resolver:
    """Resolve as a host without credentials."""
    facts = Facts(MemoryEngine(), lambda found: HostMirrors(), Problems())
    return Resolver(NoCredentials(), facts, lambda up: None, clock=SystemClock())


def test_a_tag_is_resolved_at_its_registry(registry: ScriptedRegistry, resolver: Resolver) -> None:
    image = build_image([b"layer"])
    registry.shelf.add("team/app", image, "1")
    request = Resolve(request=uuid4(), reference=f"{registry.host}/team/app:1")
    answer = resolver.answer(request)
    assert answer == Resolved(
        request=request.request, reference=request.reference, digest=str(image.digest), endpoint=registry.url
    )


@pytest.mark.parametrize("reference", ["{host}/team/none:1", "127.0.0.1:1/team/app:1", "UPPER case", ""])
def test_a_tag_that_cannot_be_resolved_is_answered_with_a_reason(
    registry: ScriptedRegistry, resolver: Resolver, reference: str
) -> None:
    request = Resolve(request=uuid4(), reference=reference.format(host=registry.host))
    answer = resolver.answer(request)
    assert answer.digest == ""
    assert answer.reason.startswith("cannot")


def test_every_request_is_answered_and_a_flood_is_bounded() -> None:
    said: list[Up] = []
    facts = Facts(MemoryEngine(), lambda found: HostMirrors(), Problems())
    resolver = Resolver(NoCredentials(), facts, said.append, clock=SystemClock())
    woken: list[bool] = []
    resolver.wake = lambda: woken.append(True)
    for _ in range(MOST_WAITING + 50):
        resolver.ask(Resolve(request=uuid4(), reference=""))
    assert woken, "nobody would look before the next hour"
    resolver.step()
    assert len(said) == MOST_WAITING


def test_one_agent_keeps_every_other_out_of_its_state(tmp_path: Path) -> None:
    with alone(tmp_path / "state"):
        with pytest.raises(Refused, match=r"^cannot run two agents in .*state"), alone(tmp_path / "state"):
            pass
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    with alone(tmp_path / "state"):
        pass


def test_a_state_that_cannot_be_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BadInput, match=r"^cannot use the state directory .*--state"),
        alone(tmp_path / "file" / "state"),
    ):
        pass


def test_what_is_given_goes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(
        '[agent]\njoin_file = "/file.join"\nengine = "tcp://file:1"\nheartbeat_s = 60\n[broker]\nurl = "x"\n'
    )
    monkeypatch.setenv("FLEET_CONFIG", str(file))
    monkeypatch.setenv("FLEET_ENGINE", "unix:///env.sock")
    monkeypatch.setenv("FLEET_STATE_DIR", "/env")
    settings = AgentSettings.read(state_dir="/given", join_file="")
    assert (settings.state_dir, settings.engine_url) == (Path("/given"), "unix:///env.sock")
    assert (settings.join_file, settings.agent.heartbeat_s) == (Path("/file.join"), 60)


def test_docker_host_is_the_engine_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AgentSettings.read().engine_url is None
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert AgentSettings.read().engine_url == "tcp://127.0.0.1:2375"


def test_without_a_join_file_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_STATE_DIR", str(tmp_path))  # this machine may have joined a fleet
    outcome = CliRunner().invoke(agent, [])
    assert isinstance(outcome.exception, BadInput)
    assert "fleet host add" in str(outcome.exception)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--join", "/nowhere.join"], "cannot read /nowhere.join: No such file"),
        (["--join", "{join}", "--engine", "ssh://host"], "cannot read"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(tmp_path: Path, arguments: list[str], reason: str) -> None:
    (tmp_path / "join").touch(0o600)
    given = [each.format(join=tmp_path / "join") for each in arguments]
    command = [sys.executable, "-m", "fleet.cli.main", "agent", "--state", str(tmp_path / "state"), *given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(reason)


FEW_FILES = """
import resource, sys
from pathlib import Path
from fleet.agent.process import serve
from fleet.errors import BadInput
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
try:
    serve(None, Path(sys.argv[1]), None)
except BadInput:
    print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""


def test_an_agent_takes_as_many_open_files_as_it_may(tmp_path: Path) -> None:
    """Whatever started it had set a lower limit, as ``ulimit -Sn`` does."""
    command = [sys.executable, "-c", FEW_FILES, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "True\n"


def test_the_agent_imports_no_sql_and_no_web_framework() -> None:
    code = "import sys, fleet.agent.process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    roots = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert not roots & {"sqlalchemy", "alembic", "psycopg", "fastapi", "sqlakeyset"}
    assert "fleet.history" not in loaded.stdout


def test_an_engine_that_is_away_is_a_problem_until_it_answers_and_what_it_said_last_is_known() -> None:
    engine, problems = MemoryEngine(), Problems()
    facts = Facts(engine, lambda _: HostMirrors(), problems)
    engine.fail("facts", EngineUnreachable("cannot reach it"))
    assert facts.ask() is None
    assert [line.endswith(": cannot reach it") for line in problems.lines()] == [True]
    known = facts.ask()
    assert known is not None
    assert problems.lines() == ()
    engine.fail("facts", EngineUnreachable("cannot reach it"))
    assert facts.ask() == known


def test_that_the_engine_pulls_by_itself_is_told_for_as_long_as_it_is_so() -> None:
    problems = Problems()
    facts = Facts(MemoryEngine(), lambda _: HostMirrors(), problems)
    facts.pulls_by_itself("cannot listen on the loopback")
    assert [line.endswith(": cannot listen on the loopback") for line in problems.lines()] == [True]
    facts.pulls_by_itself("")
    assert problems.lines() == ()
