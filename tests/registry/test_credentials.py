"""Credentials are found as the docker command finds them, kept for a while, and asked for without end by nobody."""

import asyncio
import base64
import json
import logging
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.registry.credentials import FAILURE_KEPT_S, HUB_KEY, KEPT_S, Credentials, DockerConfig, default_path
from fleet.testing.clock import ManualClock

Program = Callable[[str, str], Path]


def auth(user: str, password: str) -> str:
    """Return an ``auth`` as docker login writes it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def written(folder: Path, **content: object) -> Path:
    """Write a config.json and return it."""
    file = folder / "config.json"
    file.write_text(json.dumps(content))
    return file


def found(config: DockerConfig, host: str) -> Credentials | None:
    """Ask *config* for *host*."""
    return asyncio.run(config.for_host(host))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put credential programs, written as shell scripts, first on the path; each counts its calls in ``NAME.calls``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, body: str) -> Path:
        calls = folder / f"{name}.calls"
        script = folder / f"docker-credential-{name}"
        script.write_text(f'#!/bin/sh\nread server\necho "$1 $server" >> {calls}\n{body}\n')
        script.chmod(0o755)
        return calls

    return write


ANSWER = 'echo "{\\"ServerURL\\": \\"$server\\", \\"Username\\": \\"ann\\", \\"Secret\\": \\"for-$server\\"}"'
UNKNOWN = 'echo "credentials not found in native keychain"; exit 1'


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": auth("ann", "pw:with:colons")},
        {"auth": auth("ann", "pw:with:colons") + "\n".strip(), "email": "old@field"},
        {"username": "ann", "password": "pw:with:colons"},
        {"auth": base64.b64encode(b"ann:pw:with:colons\0\0").decode()},
    ],
)
def test_user_and_password_of_auths(tmp_path: Path, entry: dict[str, str]) -> None:
    """Every way in which docker login has written them is read."""
    config = DockerConfig.load(written(tmp_path, auths={"reg.lan:5000": entry}))
    assert found(config, "reg.lan:5000") == Credentials(username="ann", password="pw:with:colons")
    assert found(config, "reg.lan") is None


@pytest.mark.parametrize("key", ["reg.lan", "https://reg.lan", "https://reg.lan/v1/", "http://Reg.lan/v2/x", "REG.LAN"])
def test_keys_may_be_written_as_urls(tmp_path: Path, key: str) -> None:
    """Old files name servers as URLs."""
    config = DockerConfig.load(written(tmp_path, auths={key: {"auth": auth("ann", "pw")}}))
    assert found(config, "reg.lan") is not None


@pytest.mark.parametrize("key", [HUB_KEY, "docker.io", "index.docker.io", "https://registry-1.docker.io/v2/"])
@pytest.mark.parametrize("host", ["docker.io", "registry-1.docker.io", "index.docker.io"])
def test_docker_hub_has_one_login_under_many_names(tmp_path: Path, key: str, host: str) -> None:
    """The historic key of Docker Hub is found by its present hosts."""
    assert found(DockerConfig.load(written(tmp_path, auths={key: {"auth": auth("ann", "pw")}})), host) is not None


def test_a_hub_login_is_for_docker_hub_alone(tmp_path: Path) -> None:
    """A mirror of Docker Hub is another host."""
    config = DockerConfig.load(written(tmp_path, auths={HUB_KEY: {"auth": auth("ann", "pw")}}))
    for host in ("mirror.gcr.io", "docker.io.evil.example", "127.0.0.1:5000", "auth.docker.io"):
        assert found(config, host) is None


def test_identity_and_registry_tokens(tmp_path: Path) -> None:
    """What docker login stores for OAuth 2 registries."""
    entries = {
        "acr.lan": {"auth": auth("0000", ""), "identitytoken": "refresh"},
        "reg.lan": {"registrytoken": "bearer"},
    }
    config = DockerConfig.load(written(tmp_path, auths=entries))
    assert found(config, "acr.lan") == Credentials(username="0000", identity_token="refresh")
    assert found(config, "reg.lan") == Credentials(registry_token="bearer")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"auth": "!!"},
        {"auth": auth("ann", "")},
        {"auth": "w6Q"},
        {"auth": "\u00e9"},
        {"username": "ann", "password": "half a character: \ud800"},
        "text",
        None,
        [],
    ],
)
def test_an_empty_or_broken_entry_is_nobody(tmp_path: Path, entry: object) -> None:
    """docker logout and hand edits leave such; they are no error."""
    assert found(DockerConfig.load(written(tmp_path, auths={"reg.lan": entry})), "reg.lan") is None


def test_a_helper_goes_before_the_store_and_the_store_before_auths(tmp_path: Path, program: Program) -> None:
    """The order of the docker command."""
    program("one", ANSWER.replace("ann", "helper"))
    program("two", ANSWER.replace("ann", "store"))
    config = DockerConfig.load(
        written(
            tmp_path,
            auths={host: {"auth": auth("file", "pw")} for host in ("a.lan", "b.lan")},
            credsStore="two",
            credHelpers={"a.lan": "one"},
        )
    )
    assert found(config, "a.lan") == Credentials(username="helper", password="for-a.lan")
    assert found(config, "b.lan") == Credentials(username="store", password="for-b.lan")


def test_the_file_is_asked_where_the_program_knows_nothing(tmp_path: Path, program: Program) -> None:
    """Some logins stay in the file although a store is named."""
    program("store", UNKNOWN)
    config = DockerConfig.load(written(tmp_path, auths={"a.lan": {"auth": auth("file", "pw")}}, credsStore="store"))
    assert found(config, "a.lan") == Credentials(username="file", password="pw")
    assert found(config, "b.lan") is None


def test_docker_hub_is_asked_for_by_its_historic_key(tmp_path: Path, program: Program) -> None:
    """Keychains keep Docker Hub's login under the URL of long ago."""
    calls = program("store", ANSWER)
    config = DockerConfig.load(written(tmp_path, credsStore="store"))
    assert found(config, "registry-1.docker.io") == Credentials(username="ann", password=f"for-{HUB_KEY}")
    assert calls.read_text() == f"get {HUB_KEY}\n"


@pytest.mark.parametrize("key", ["docker.io", "index.docker.io", HUB_KEY, "https://index.docker.io"])
def test_a_helper_for_docker_hub_under_any_name(tmp_path: Path, program: Program, key: str) -> None:
    """credHelpers may name Docker Hub as people call it."""
    program("hub", ANSWER)
    assert found(DockerConfig.load(written(tmp_path, credHelpers={key: "hub"})), "docker.io") is not None


def test_the_user_token_means_an_identity_token(tmp_path: Path, program: Program) -> None:
    """The programs' convention for OAuth 2."""
    program("store", ANSWER.replace("ann", "<token>"))
    config = DockerConfig.load(written(tmp_path, credsStore="store"))
    assert found(config, "acr.lan") == Credentials(identity_token="for-acr.lan")


def test_an_answer_is_kept_for_a_while(tmp_path: Path, program: Program) -> None:
    """A program is asked once for many layers, and again before its twelve hours are over."""
    calls, clock = program("store", ANSWER), ManualClock()
    config = DockerConfig.load(written(tmp_path, credsStore="store"), clock=clock)
    for wait_s in (0, KEPT_S - 1, 2):
        clock.sleep(wait_s)
        assert found(config, "a.lan") is not None
    assert calls.read_text().count("get") == 2


def test_layers_at_once_ask_once(tmp_path: Path, program: Program) -> None:
    """Many requests at the same time wait for one program."""
    calls = program("store", ANSWER)
    config = DockerConfig.load(written(tmp_path, credsStore="store"))

    async def at_once() -> None:
        assert None not in await asyncio.gather(*(config.for_host("a.lan") for _ in range(8)))

    asyncio.run(at_once())
    assert calls.read_text().count("get") == 1


def test_every_check_has_an_event_loop_of_its_own_and_they_may_meet(tmp_path: Path, program: Program) -> None:
    """The centre keeps one configuration for all its checks, and the agent one for its gateway and its resolver."""
    program("store", f"sleep 0.2; {ANSWER}")
    clock = ManualClock()
    config = DockerConfig.load(written(tmp_path, credsStore="store"), clock=clock)

    def check(_: int = 0) -> list[Credentials | None]:
        async def ask() -> list[Credentials | None]:
            return await asyncio.gather(*(config.for_host("a.lan") for _ in range(3)))

        return asyncio.run(asyncio.wait_for(ask(), 60))

    assert None not in check()
    clock.sleep(KEPT_S + 1)
    assert None not in check()
    clock.sleep(KEPT_S + 1)
    with ThreadPoolExecutor(3) as threads:
        assert None not in [found for each in threads.map(check, range(3)) for found in each]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exec sleep 600", "cannot wait for docker-credential-bad any longer than 1.5 s"),
        ("sleep 600 & wait", "cannot wait for docker-credential-bad any longer than 1.5 s"),
        ("exit 7", "docker-credential-bad ended with status 7"),
        ("echo nonsense", "cannot use what docker-credential-bad answered"),
        ('echo \'{"Username": "ann"}\'', "cannot use what docker-credential-bad answered"),
        ("printf '\\377\\376\\377'", "cannot use what docker-credential-bad answered"),
        ("head -c 200000 /dev/zero | tr '\\0' '['", "cannot use what docker-credential-bad answered"),
        (
            'printf \'%s\' \'{"Username": "ann", "Secret": "\\ud800"}\'',
            "cannot use what docker-credential-bad answered",
        ),
        ("exec cat /dev/zero", "cannot take more than 262144 bytes from docker-credential-bad"),
    ],
)
def test_a_program_that_fails_is_a_warning_and_nobody(
    tmp_path: Path, program: Program, caplog: pytest.LogCaptureFixture, body: str, reason: str
) -> None:
    """A pull goes on without credentials, soon, and the log says why; the failure is remembered for a while."""
    calls, clock = program("bad", body), ManualClock()
    limit_s = 1.5 if "sleep" in body else 60.0
    config = DockerConfig.load(written(tmp_path, credsStore="bad"), clock=clock, limit_s=limit_s)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert found(config, "a.lan") is None
        assert found(config, "a.lan") is None
    assert time.monotonic() - started < 60
    assert calls.read_text().count("get") == 1
    (record,) = caplog.records
    assert reason in vars(record)["reason"]
    clock.sleep(FAILURE_KEPT_S + 1)
    found(config, "a.lan")
    assert calls.read_text().count("get") == 2


@pytest.mark.parametrize("name", ["missing", "../../bin/sh", "a b", "/bin/true"])
def test_a_program_that_is_not_there_or_is_no_name_is_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The program of another machine's configuration, or a path, is a warning; nothing else is run."""
    config = DockerConfig.load(written(tmp_path, auths={"a.lan": {"auth": auth("file", "pw")}}, credsStore=name))
    with caplog.at_level(logging.WARNING):
        assert found(config, "a.lan") == Credentials(username="file", password="pw")
    assert "cannot run" in vars(caplog.records[0])["reason"]


def test_a_program_without_an_end_fills_no_memory(tmp_path: Path, program: Program) -> None:
    """What it writes until its time is over would be gigabytes."""
    program("bad", "exec cat /dev/zero")
    config = DockerConfig.load(written(tmp_path, credsStore="bad"), limit_s=2.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert found(config, "a.lan") is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_login_is_seen_at_once(tmp_path: Path, program: Program) -> None:
    """docker login after the agent's start needs no restart; kept answers go with the old file."""
    program("store", UNKNOWN)
    file = written(tmp_path, credsStore="store")
    config = DockerConfig.load(file)
    assert found(config, "a.lan") is None
    written(tmp_path, auths={"a.lan": {"auth": auth("ann", "new")}})
    assert found(config, "a.lan") == Credentials(username="ann", password="new")
    file.unlink()
    assert found(config, "a.lan") is None


def test_a_file_that_breaks_later_keeps_what_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A half-written file does not log the fleet out."""
    file = written(tmp_path, auths={"a.lan": {"auth": auth("ann", "pw")}})
    config = DockerConfig.load(file)
    file.write_text('{"auths": {')
    with caplog.at_level(logging.WARNING):
        assert found(config, "a.lan") is not None
    assert "keeping what was read before" in caplog.text


@pytest.mark.parametrize("text", ["{", "[" * 200_000, "[]", '{"auths": [1]}', '{"credHelpers": "x"}', "\xff"])
def test_a_file_that_is_no_configuration_says_so_at_start(tmp_path: Path, text: str) -> None:
    """The file is named, its content is not."""
    file = tmp_path / "config.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(BadInput, match=f"^cannot .*{file}"):
        DockerConfig.load(file)


def test_no_file_is_nobody(tmp_path: Path) -> None:
    """A machine where nobody ever logged in is in order."""
    assert found(DockerConfig.load(tmp_path / "none.json"), "a.lan") is None


def test_the_file_is_where_docker_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_CONFIG names the folder, else it is the user's."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert default_path() == tmp_path / "config.json"
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_path() == Path("/home/ann/.docker/config.json")
