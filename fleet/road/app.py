"""The Celery apps: one for a host's worker, one for the centre.

Nothing is global; every setting stands here with its reason.
"""

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from fleet.road import names, transport
from fleet.road.broker import CONNECT_TIMEOUT_S, HEALTH_CHECK_S, SOCKET_TIMEOUT_S, BrokerAddress

POLL_S = 5
"""How long one blocking read of a worker lasts: 0.2 commands a second when idle, and an idle stop waits that long."""

TASK_NAMES: dict[str, str] = {}
"""Renamed tasks, old name to new, so that a worker still does what a centre of the version before asks for."""

_SETTINGS: dict[str, Any] = {
    # Only JSON, and no results: what came of an order is a message of its own.
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_accept_content": ["json"],
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "result_expires": None,
    # One message at a time, and none that nobody asked for.
    "worker_prefetch_multiplier": 1,
    "task_create_missing_queues": False,
    "worker_disable_rate_limits": True,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    # Our logs are our own.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # A broker that is away comes back; for how long one waits is the watchdog's to say.
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_timeout": CONNECT_TIMEOUT_S,
    "enable_utc": True,
    "timezone": "UTC",
}

_TRANSPORT_OPTIONS: dict[str, Any] = {
    "priority_steps": [0],
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": HEALTH_CHECK_S,
}


def host_app(broker: BrokerAddress, host_id: str) -> Celery:
    """Return the app of one host's worker: one queue, read by it alone, acknowledged after the task."""
    transport.register()
    unacked = names.unacked_key(host_id)
    app = _app(broker.kombu_url(transport=transport.SCHEME), broker, names.host_queue(host_id))
    app.conf.update(
        task_acks_late=True,
        # True would run a task that kills its worker for ever; attempts are counted in the journal instead.
        task_reject_on_worker_lost=False,
        broker_pool_limit=0,
        broker_transport_options={
            **_TRANSPORT_OPTIONS,
            # Kombu's own names are the same for all: then every host could read all that is unacknowledged.
            "unacked_key": unacked,
            "unacked_index_key": names.unacked_index_key(host_id),
            "unacked_mutex_key": f"{unacked}_mutex",
            "polling_interval": POLL_S,
        },
    )
    return app


def centre_app(broker: BrokerAddress) -> Celery:
    """Return the app of the centre: its sender, its beat, and the workers of the tick, of which there may be several.

    A tick is acknowledged before it runs: one that is lost is made good by the next.
    """
    transport.register()
    app = _app(broker.kombu_url(transport=transport.TICK_SCHEME), broker, names.TICK_QUEUE)
    app.conf.update(
        task_acks_late=False,
        broker_transport_options={**_TRANSPORT_OPTIONS, "polling_interval": 1},
    )
    return app


def finish(app: Celery) -> Celery:
    """Finalize *app* and take away every task that is not ours: Celery's own (map, chord, ...) run tasks by name."""
    app.finalize(auto=False)
    for name in [n for n in app.tasks if not n.startswith("fleet.")]:
        app.tasks.unregister(name)
    for old, new in TASK_NAMES.items():
        if new in app.tasks:
            app.tasks[old] = app.tasks[new]
    return app


def _app(url: str, broker: BrokerAddress, queue: str) -> Celery:
    app = Celery("fleet", broker=url, backend=None, set_as_current=False, autofinalize=False, fixups=[])
    app.conf.update(
        _SETTINGS,
        broker_use_ssl=broker.tls(),
        task_default_queue=queue,
        # The anonymous exchange and no declaration: a host has no right to the keys that kombu keeps bindings in.
        task_queues=[Queue(queue, Exchange(""), routing_key=queue, no_declare=True)],
    )
    return app
