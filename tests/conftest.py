"""What holds for every test: no setting of this machine reaches it, and no packet leaves the loopback."""

import gc
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import sharing
from tests.memory import memory

_KEPT = frozenset({"PATH", "LANG", "LC_ALL", "TMPDIR", "CI", "USER", "LOGNAME", "SHELL", "TERM", "VIRTUAL_ENV"})
_KEPT_PREFIXES = ("PYTEST", "PYTHON", "COV_", "HYPOTHESIS", "FLEET_TEST_", "FLEET_LAB_")

# In CI the same examples each time: a change is judged by what it changed. A desk goes on looking for others.
settings.register_profile("fleet", deadline=None, print_blob=True, derandomize=os.environ.get("CI") == "true")
settings.load_profile("fleet")


def pytest_configure(config: pytest.Config) -> None:
    """Scrub the environment before any fixture of any scope runs: proxies, logins and Fleet's own settings."""
    for name in [name for name in os.environ if name not in _KEPT and not name.startswith(_KEPT_PREFIXES)]:
        del os.environ[name]
    os.environ["TZ"] = "UTC"
    os.environ["NO_COLOR"] = "1"
    if (folder := memory()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell lets what it starts in the background ignore Ctrl-C, and so would every program that a test starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out."""
    return sharing.scheduler(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while tests are collected, nor ever again among them: nearly all of it is kept to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin what is long first; the rest stays in the order that chance gave it."""
    items.sort(key=lambda item: sharing.place_of(item.nodeid))


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    here = Path.cwd()
    yield
    os.environ.clear()
    os.environ.update(before)
    os.chdir(here)


@pytest.fixture(autouse=True)
def _loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave this machine; the lab's own networks are its own matter."""
    if request.node.get_closest_marker("lab"):
        return
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(connect: Any) -> Any:
    def connect_on_loopback(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
            raise RuntimeError(f"a test tried to reach {address!r}; only the loopback is allowed")
        return connect(self, address)

    return connect_on_loopback


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
