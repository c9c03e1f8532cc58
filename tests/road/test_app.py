"""The settings without which a worker loses, repeats or invents messages, each for its reason."""

from collections.abc import Callable

import pytest
from celery import Celery, current_app

from fleet.road import names
from fleet.road.app import centre_app, host_app
from fleet.road.broker import BrokerAddress
from fleet.road.worker import deliver_app, tick_app

BROKER = BrokerAddress.parse("unix:///run/fleet/broker.sock")
ID = "0" * 31 + "7"
HOST: Callable[[], Celery] = lambda: host_app(BROKER, ID)  # noqa: E731
CENTRE: Callable[[], Celery] = lambda: centre_app(BROKER)  # noqa: E731


@pytest.mark.parametrize("make", [HOST, CENTRE])
def test_nothing_but_json_is_read_and_nothing_unasked_is_said(make: Callable[[], Celery]) -> None:
    conf = make().conf
    assert (conf.accept_content, conf.task_serializer, conf.task_ignore_result) == (["json"], "json", True)
    assert not conf.worker_enable_remote_control
    assert not conf.worker_send_task_events
    assert not conf.task_create_missing_queues
    assert not conf.worker_hijack_root_logger


@pytest.mark.parametrize("make", [HOST, CENTRE])
def test_a_broker_that_is_away_is_waited_for_without_end(make: Callable[[], Celery]) -> None:
    conf = make().conf
    assert conf.broker_connection_retry
    assert conf.broker_connection_retry_on_startup
    assert conf.broker_connection_max_retries is None
    assert not conf.worker_cancel_long_running_tasks_on_connection_loss
    options = conf.broker_transport_options
    assert 0 < options["socket_connect_timeout"] < options["socket_timeout"]
    assert options["socket_keepalive"]


def test_a_host_takes_one_message_at_a_time_and_says_when_it_is_done_with_it() -> None:
    conf = HOST().conf
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier, conf.broker_pool_limit) == (True, 1, 0)
    assert not conf.task_reject_on_worker_lost, "a task that kills its worker would run for ever"
    assert not CENTRE().conf.task_acks_late, "a tick that is lost is made good by the next"


def test_every_key_that_a_host_uses_is_its_own() -> None:
    conf = HOST().conf
    (queue,) = conf.task_queues
    assert (queue.name, queue.exchange.name, queue.routing_key, queue.no_declare) == (
        f"host.{ID}",
        "",
        f"host.{ID}",
        True,
    )
    own = [key for name, key in conf.broker_transport_options.items() if name.startswith("unacked_")]
    assert len(own) == 3
    assert all(key.startswith(names.unacked_key(ID)) for key in own)


def test_there_is_no_task_but_those_of_the_process_and_no_app_for_all() -> None:
    app = deliver_app(BROKER, ID, lambda sealed: None)
    assert list(app.tasks) == [names.DELIVER]
    assert sorted(tick_app(BROKER, lambda: None, {"look": lambda: None}).tasks) == ["fleet.beat.look", names.TICK]
    assert current_app != app
