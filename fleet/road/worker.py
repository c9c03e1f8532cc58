"""The three Celery processes: a host's worker, the planner's worker of the tick, and the beat. Each runs until it is
told to end.
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.beat import Scheduler, Service
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import setup_logging

from fleet.errors import BrokerUnreachable
from fleet.road import names, transport
from fleet.road.app import centre_app, finish, host_app
from fleet.road.broker import BrokerAddress

log = logging.getLogger(__name__)

TICK_S = 2.0
"""How often the planner looks, in seconds."""

_BACKLOG = 2
"""Beats of one kind that may wait unread; a tick looks at all there is, so more of them would only be the same work
again.
"""


def run_host_worker(
    broker: BrokerAddress, host_id: str, handle: Callable[[str], None], *, on_ready: Callable[[], None] | None = None
) -> None:
    """Read the host's queue and hand every signed message to *handle*, one at a time, until SIGTERM; then return.

    A message is acknowledged when *handle* returns or raises. It must only write the message down: no task outlives
    anything. *on_ready* is called each time that the worker begins to read, again whenever the broker was away. A
    broker that is away, or does not know this login yet, is waited for; raise BrokerUnreachable where it forbids to
    read. Must be called in the main thread, since it answers signals.
    """
    transport.begins_to_read[:] = [on_ready] if on_ready else []
    _run(deliver_app(broker, host_id, handle))


def log_in_as(broker: BrokerAddress) -> None:
    """Let this process's worker use the login of *broker* from its next connection on; one that it has stays."""
    transport.login[:] = [(broker.username, broker.password)]


def last_heard() -> float | None:
    """Return when the broker answered this host's worker last, by the monotonic clock; None before the first answer.

    An idle worker is answered every few seconds, so that a long silence means that the broker, or the way to it, is
    gone.
    """
    return transport.last_heard()


def run_tick_worker(
    broker: BrokerAddress, tick: Callable[[], None], others: Mapping[str, Callable[[], None]] | None = None
) -> None:
    """Run *tick* at every beat, and each of *others* at the beats of its name, until SIGTERM.

    Must be called in the main thread.
    """
    _run(tick_app(broker, tick, others or {}))


def run_beat(broker: BrokerAddress, tick_s: float = TICK_S, others: Mapping[str, float] | None = None) -> None:
    """Beat for ever: the tick every *tick_s* seconds and each of *others* (name to seconds), by static entries in UTC.

    Any number of beats may run: the tick claims rows, so that two of them do nothing twice.
    """
    app = finish(centre_app(broker))
    app.conf.beat_schedule = {
        name: _entry(name, every) for name, every in {names.TICK: tick_s, **_beats(others or {})}.items()
    }
    Service(app, scheduler_cls=_StaticScheduler).start()


def deliver_app(broker: BrokerAddress, host_id: str, handle: Callable[[str], None]) -> Celery:
    """Return the finished app of one host's worker."""
    app = host_app(broker, host_id)

    @app.task(name=names.DELIVER, shared=False)
    def deliver(sealed: str) -> None:
        handle(sealed)

    return finish(app)


def tick_app(broker: BrokerAddress, tick: Callable[[], None], others: Mapping[str, Callable[[], None]]) -> Celery:
    """Return the finished app of the planner's worker."""
    app = centre_app(broker)
    for name, work in {names.TICK: tick, **_beats(others)}.items():
        app.task(name=name, shared=False)(_calling(work))
    return finish(app)


def _run(app: Celery) -> None:
    setup_logging.connect(_leave_logging_alone)
    worker: Any = app.Worker(
        pool="threads",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
        loglevel="WARNING",
    )
    # What it warns of at every loss of the broker is what is wanted here: a task that runs goes on. Making the worker
    # switched the warning on.
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    _keep_quiet()
    worker.start()
    log.info("queue is read no more", extra={"exit_code": worker.exitcode or 0})
    if worker.exitcode:
        raise BrokerUnreachable("cannot go on reading the queue; does the broker still know this login and its rights?")


def _keep_quiet() -> None:
    """Let Celery not write to stdout, past every log, that it ends: a signal's handler is no place to log it either."""
    from celery.apps import worker

    worker.safe_say = lambda *_: None  # type: ignore[attr-defined]


def _leave_logging_alone(**_: Any) -> None:
    """Stand in the way of Celery's own logging: it would silence all that the process says below its level."""


def _calling(work: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        work()

    return call


def _beats(others: Mapping[str, Any]) -> dict[str, Any]:
    return {f"fleet.beat.{name}": value for name, value in others.items()}


def _entry(name: str, every_s: float) -> dict[str, Any]:
    return {
        "task": name,
        "schedule": timedelta(seconds=every_s),
        "options": {"queue": names.TICK_QUEUE, "expires": max(60, every_s), "ignore_result": True},
    }


class _StaticScheduler(Scheduler):
    """Celery's scheduler without its file: the entries are static, and a beat too many does no harm."""

    _unsent = False
    """Whether the broker could not be told of the last beat."""

    def setup_schedule(self) -> None:
        """Take the entries from the settings."""
        self.merge_inplace(self.app.conf.beat_schedule)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a beat. Where it cannot be sent, say so once and in one line: Celery writes its whole stack, every time."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # whatever it is, the next beat comes soon
            if not self._unsent:
                log.warning("beats cannot be sent", extra={"reason": str(error)})
            self._unsent = True
        else:
            if self._unsent:
                log.info("beats are sent again")
            self._unsent = False

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send a beat, unless enough of them already wait because no planner reads."""
        if producer is not None and producer.channel._size(names.TICK_QUEUE) >= _BACKLOG * len(self.schedule):
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)
