"""The command over a real server at a real socket, and what it printed."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet.cli.main import run
from fleet.web.doors import Behind
from fleet.web.process import Server, config_of, unix_socket
from tests.web.conftest import app, application, broker, centre, db, migrated, web1

__all__ = ["app", "application", "broker", "centre", "db", "migrated", "web1"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What one call came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What was printed, by line."""
        return self.out.splitlines()


Fleet = Callable[..., Ran]


@pytest.fixture
def fleet(capfd: pytest.CaptureFixture[str]) -> Fleet:
    """Run ``fleet`` in this process."""

    def call(*args: str) -> Ran:
        capfd.readouterr()
        code = run(args)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def served(app: Behind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve the centre at the socket that the command finds by itself."""
    path = tmp_path / "fleet.sock"
    with unix_socket(path) as listening:
        server = Server(config_of(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        monkeypatch.setenv("FLEET_SOCKET", str(path))
        yield path
        server.should_exit = True
        thread.join(60)
