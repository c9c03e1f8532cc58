"""Keeps the processes of one machine running: starts each, starts again what ends, and ends them all when told to."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from fleet.clock import Clock, SystemClock
from fleet.controller import home_pulse
from fleet.errors import BadInput, FleetError, Refused
from fleet.road.embedded import die_with_parent
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

PROCESSES = ("web", "planner", "inbox", "notifier", "beat", "mqtt")
"""The centre's processes, in the order in which they are started; the last one only where it has an MQTT broker."""

FIRST_WAIT_S = 0.5
"""The wait before what ended is started again; it doubles each time."""
LONGEST_WAIT_S = 30.0
RETRY_S = 1.0
"""The wait after a start that failed because something else was not ready: the look at it costs next to nothing."""
TELL_S = 10.0
"""How long it may fail for the same reason before that is told, once."""
STEADY_S = 30.0
"""What ran for so long has recovered: its next wait is the first again."""
STOP_S = 20.0
"""How long everything together may take to end by itself before it is killed."""
_LOOK_S = 0.5
"""Seconds between two looks; the end of a child wakes it earlier."""


class Kept(Protocol):
    """Something that is started, lives, and is stopped: a process, or the embedded broker."""

    @property
    def pid(self) -> int:
        """Its process id; 0 where it does not run."""
        ...

    def start(self) -> None:
        """Start it; may raise a FleetError or OSError, and is then tried again later."""
        ...

    def stop(self) -> None:
        """End it and wait; already ended is fine."""
        ...


class Child:
    """One process of ours, which the kernel ends when this one ends."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Prepare *command*; *environment* is added to this process's own."""
        self._command = list(command)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def start(self) -> None:
        """Start it. Must be called in the thread that lives as long as this process."""
        try:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                # Ctrl-C is for the supervisor alone, which ends its children in order.
                process_group=0,
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - nothing but a system call
            )
        except OSError as e:
            raise Refused(f"cannot start {self._command[0]}: {e.strerror}") from e

    def tell_to_end(self) -> None:
        """Ask it to end."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def stop(self, patience_s: float = STOP_S) -> None:
        """End it and wait, by force after *patience_s*."""
        self.tell_to_end()
        if not self._process:
            return
        try:
            self._process.wait(max(patience_s, 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(slots=True)
class _Watch:
    """One kept thing, and when it may be started again."""

    name: str
    kept: Kept
    started: float = 0.0
    running: bool = False
    wait_s: float = FIRST_WAIT_S
    not_before: float = float("-inf")
    reason: str = ""
    """Why it could not start the last time."""
    failing_since: float = 0.0
    """Since when it cannot, for that reason."""
    told: bool = False
    """Whether that was told."""


class Supervisor:
    """Keeps several things running until it is told to end."""

    def __init__(self, kept: Mapping[str, Kept], *, clock: Clock | None = None) -> None:
        """Prepare to keep *kept*, started in their order and ended in the opposite one."""
        self._clock = clock or SystemClock()
        self._watches = [_Watch(name, each) for name, each in kept.items()]
        # Not an Event: a signal that comes while its lock is held, and sets it, would wait for that lock for ever.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._ending = False

    def run(self) -> None:
        """Keep everything running until SIGTERM or SIGINT, then end it all. Must be called in the main thread."""
        with self._signals():
            while not self._ending:
                self.look()
                with suppress(Empty):
                    self._wake.get(timeout=_LOOK_S)
            self.stop()

    def look(self) -> None:
        """Start what does not run and whose wait is over."""
        now = self._clock.monotonic()
        for watch in self._watches:
            if watch.running and not watch.kept.pid:
                self._note_end(watch, now)
            if not watch.running and now >= watch.not_before and not self._ending:
                self._start(watch, now)

    def stop(self) -> None:
        """End everything, the last started first."""
        deadline = self._clock.monotonic() + STOP_S
        for watch in reversed(self._watches):
            if isinstance(watch.kept, Child):
                watch.kept.tell_to_end()
        for watch in reversed(self._watches):
            if isinstance(watch.kept, Child):
                watch.kept.stop(deadline - self._clock.monotonic())
            else:
                watch.kept.stop()
            watch.running = False

    def end(self) -> None:
        """Let ``run`` end everything and return."""
        self._ending = True
        self._wake.put(None)

    def _start(self, watch: _Watch, now: float) -> None:
        try:
            watch.kept.start()
        except (FleetError, OSError) as error:
            # A full disk, too, is no reason to end all that still runs.
            told = str(error) if isinstance(error, FleetError) else f"cannot start it: {error}; is the disk full?"
            self._note_failure(watch, told, now)
            return
        watch.reason = ""
        watch.running, watch.started = True, now
        log.info("started", extra={"child": watch.name, "child_pid": watch.kept.pid})

    def _note_failure(self, watch: _Watch, reason: str, now: float) -> None:
        watch.not_before = now + RETRY_S
        if reason != watch.reason:
            watch.reason, watch.failing_since, watch.told = reason, now, False
        # What needs another child of this machine fails until that is up, which is worth no word.
        if not watch.told and now - watch.failing_since >= TELL_S:
            log.warning("cannot start yet", extra={"child": watch.name, "reason": reason})
            watch.told = True

    def _note_end(self, watch: _Watch, now: float) -> None:
        watch.running = False
        if now - watch.started >= STEADY_S:
            watch.wait_s = FIRST_WAIT_S
        watch.not_before = now + watch.wait_s
        log.warning("ended, starting it again", extra={"child": watch.name, "again_in_s": watch.wait_s})
        watch.wait_s = min(watch.wait_s * 2, LONGEST_WAIT_S)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def end(*_: object) -> None:
            self.end()

        def wake(*_: object) -> None:
            self._wake.put(None)

        handlers: dict[signal.Signals, Callable[..., None]] = {
            signal.SIGTERM: end,
            signal.SIGINT: end,
            signal.SIGCHLD: wake,
        }
        before = {number: signal.signal(number, act) for number, act in handlers.items()}
        try:
            yield
        finally:
            for number, act in before.items():
                signal.signal(number, act)


def run(settings: CentreSettings, only: Sequence[str] = ()) -> None:
    """Keep the centre's processes running, or *only* some of them, until SIGTERM; raise BadInput for an unknown one."""
    settings.broker_address()  # what is wrong with it is said here once, not by every child again and again
    settings.prepare_state()
    if not settings.mqtt.url:
        home_pulse.forget(settings.state_dir)
    Supervisor({name: centre_process(name) for name in chosen(settings, only)}).run()


def centre_process(name: str, environment: Mapping[str, str] | None = None) -> Child:
    """Return one process of the centre."""
    return Child([sys.executable, "-m", "fleet.controller.process", name], environment=environment)


def chosen(settings: CentreSettings, only: Sequence[str] = ()) -> Sequence[str]:
    """Return which processes of the centre are to run; raise BadInput for an unknown one."""
    for name in only:
        if name not in PROCESSES:
            raise BadInput(f"cannot start {name!r}: the centre's processes are {', '.join(PROCESSES)}")
    wanted = [name for name in PROCESSES if not only or name in only]
    return [name for name in wanted if name != "mqtt" or settings.mqtt.url]
