"""What a process says about itself: one line an event, for people on a terminal, JSON elsewhere.

Called once at a process's door, by centre and agent alike. What libraries say through ``logging`` goes the same way.
"""

import logging
import sys
import warnings
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

Format = Literal["auto", "console", "json"]

_LOUD = ("alembic", "amqp", "celery", "docker", "httpcore2", "httpx2", "kombu", "urllib3", "uvicorn")
"""Libraries that tell of their every step; they are heard from warnings on."""

_ROOT_WARNING = "You're running the worker with superuser privileges"
"""What Celery says to root, for whom it fears pickled messages; ours are JSON alone, and an agent may well be root."""

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record of ``logging`` has; anything else was put there as a field."""


def set_up(process: str, *, level: str = "INFO", format: Format = "auto", stream: TextIO | None = None) -> None:
    """Let everything that this process logs go to *stream* (stderr), each line naming *process*; again replaces it."""
    stream = stream or sys.stderr
    people = format == "console" or (format == "auto" and stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _naming(process),
        _fields_of_logging,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        *([] if people else [structlog.processors.format_exc_info]),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last(people)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    warnings.filterwarnings("ignore", message=_ROOT_WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _naming(process: str) -> Any:
    # Not a context variable: threads of libraries begin without those.
    def name(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return name


def _last(people: bool) -> list[Any]:
    plain = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if people:
        return [plain, _readable, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [plain, structlog.processors.JSONRenderer(default=str)]


def _readable(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what is no sign to read: what a host or a registry said steers no terminal, and makes no line that looks like ours."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return event


def _fields_of_logging(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take over the ``extra=`` of a record that came through ``logging``."""
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
        event.update({key: value for key, value in record.__dict__.items() if key not in _PLAIN})
    return event
