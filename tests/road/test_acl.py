"""What a host may do at the broker: read its own queue and append to the inbox, and nothing else."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from fleet.road import names
from fleet.road.acl import _COMMANDS, AclKeeper, HostLogin, Sends, acl_rules, password_hash
from fleet.road.broker import BrokerAddress
from fleet.road.names import acl_user
from tests.road.conftest import PASSWORD

pytestmark = pytest.mark.redis


@pytest.fixture
def login(host: BrokerAddress) -> Iterator[redis.Redis]:
    """Log in as the host."""
    with host.client() as client:
        yield client


@pytest.fixture
def keeper(broker: BrokerAddress) -> Iterator[AclKeeper]:
    """Keep the users of the broker, as the centre does."""
    keeper = AclKeeper(broker)
    yield keeper
    keeper.close()


def test_a_host_reads_its_own_queue(broker: BrokerAddress, login: redis.Redis, host_id: str) -> None:
    with broker.client() as centre:
        centre.lpush(names.host_queue(host_id), "order")
    assert login.brpop([names.host_queue(host_id)], timeout=1) == (names.host_queue(host_id).encode(), b"order")


def test_a_host_appends_to_the_inbox(broker: BrokerAddress, login: redis.Redis) -> None:
    login.lpush("fleet.inbox", "outcome")
    with broker.client() as centre:
        assert centre.lrange("fleet.inbox", 0, -1) == [b"outcome"]


@pytest.mark.parametrize(
    ("sends", "may"), [(Sends.ANYWHERE, (True, True)), (Sends.OWN, (True, False)), (Sends.NOWHERE, (False, False))]
)
def test_where_a_host_may_append_is_said_by_the_centre(
    keeper: AclKeeper, host: BrokerAddress, host_id: str, sends: Sends, may: tuple[bool, bool]
) -> None:
    login = HostLogin(host_id=host_id, password_sha256=password_hash(PASSWORD), sends=sends)
    assert keeper.missing([login]) == ([] if sends is Sends.ANYWHERE else [login])
    keeper.apply([login])
    assert keeper.missing([login]) == []
    with host.client() as client:
        for key, allowed in zip((names.inbox_key(host_id), names.SHARED_INBOX), may, strict=True):
            if allowed:
                assert client.lpush(key, "x")
            else:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.lpush(key, "x")


KNOWN = frozenset({"client", "client|setname", "client|setinfo", "lpush", "ping", *_COMMANDS}) | {
    "auth",
    "command",
    "hello",
    "quit",
    "reset",
}
"""What is allowed somewhere, or answers every login."""


def test_every_other_command_of_the_server_is_forbidden(broker: BrokerAddress, host: BrokerAddress) -> None:
    """Asked of the server itself, so that a later one brings no gap."""
    with broker.client() as centre:
        commands = sorted(name.decode() for name in _say(centre, "COMMAND LIST"))
        allowed = {name for name in commands if _may(centre, host.username, name)}
    assert len(commands) > 200
    assert {name for name in allowed if name not in KNOWN} == set()


def _say(client: redis.Redis, *words: str) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _may(centre: redis.Redis, user: str, name: str) -> bool:
    """Ask whether *user* may say a command, with as many arguments as it needs, all of them a key of the host."""
    arity = _arity(centre, name)
    words = name.split("|")
    arguments = [names.host_queue(user.removeprefix("host-"))] * max(0, abs(arity) - len(words))
    try:
        return bool(_say(centre, "ACL DRYRUN", user, *words, *arguments) == b"OK")
    except redis.exceptions.ResponseError:
        # A family of commands, which nobody can say without one of its members.
        return False


def _arity(centre: redis.Redis, name: str) -> int:
    told = _say(centre, "COMMAND INFO", name)
    row = next(iter(told.values())) if isinstance(told, dict) else told[0]
    return int(row["arity"] if isinstance(row, dict) else row[1])


@pytest.mark.parametrize(
    "command",
    [
        ["LRANGE", "fleet.inbox", "0", "-1"],
        ["LTRIM", "fleet.inbox", "1", "0"],
        ["RPOP", "fleet.inbox"],
        ["BRPOP", "fleet.inbox", "1"],
        ["RPUSH", "fleet.inbox", "x"],
        ["DEL", "fleet.inbox"],
        ["RENAME", "fleet.inbox", "host.{own}"],
        ["LPUSH", "host.{own}", "forged"],
        ["LPUSH", "fleet.tick", "x"],
        ["LPUSH", "fleet.inboxes", "x"],
        ["LPUSH", "fleet.inbox.{other}", "x"],
        ["LRANGE", "fleet.inbox.{own}", "0", "-1"],
        ["DEL", "fleet.inbox.{own}"],
        ["BRPOP", "host.{other}", "1"],
        ["LPUSH", "host.{other}", "x"],
        ["RPUSH", "host.{other}", "x"],
        ["HGET", "host.{other}.unacked", "x"],
        ["HSET", "host.{other}.unacked", "x", "y"],
        ["ZRANGE", "host.{other}.unacked_index", "0", "-1"],
        ["BRPOP", "fleet.tick", "1"],
        ["BRPOP", "host.{own}", "host.{other}", "1"],
        ["BLMOVE", "host.{other}", "host.{own}", "LEFT", "LEFT", "1"],
        ["EVAL", "return 1", "0"],
        ["EVAL", "while true do end", "0"],
        ["EVALSHA", "0" * 40, "0"],
        ["SCRIPT", "LOAD", "return 1"],
        ["FUNCTION", "LIST"],
        ["FCALL", "f", "0"],
        ["CONFIG", "GET", "*"],
        ["CONFIG", "SET", "requirepass", ""],
        ["ACL", "LIST"],
        ["ACL", "WHOAMI"],
        ["ACL", "SETUSER", "me", "on", "allkeys"],
        ["CLIENT", "LIST"],
        ["CLIENT", "KILL", "TYPE", "normal"],
        ["CLIENT", "PAUSE", "100000"],
        ["CLIENT", "NO-EVICT", "on"],
        ["MONITOR"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["FLUSHALL"],
        ["FLUSHDB"],
        ["SHUTDOWN", "NOSAVE"],
        ["REPLICAOF", "evil.example", "6379"],
        ["SUBSCRIBE", "x"],
        ["PUBLISH", "x", "y"],
        ["SELECT", "1"],
        ["SWAPDB", "0", "1"],
        ["INFO"],
        ["DUMP", "host.{own}"],
        ["RESTORE", "host.{own}", "0", "x"],
        ["MIGRATE", "evil.example", "6379", "host.{own}", "0", "1"],
        ["OBJECT", "FREQ", "host.{own}"],
        ["WAIT", "1", "0"],
        ["SAVE"],
        ["LATENCY", "DOCTOR"],
        ["SLOWLOG", "GET"],
        ["MODULE", "LIST"],
    ],
    ids=" ".join,
)
def test_a_host_may_not(login: redis.Redis, host_id: str, command: list[str]) -> None:
    spoken = [part.format(own=host_id, other="f" * 32) for part in command]
    with pytest.raises(redis.exceptions.NoPermissionError):
        _say(login, *spoken)


def test_a_transaction_smuggles_nothing_in(login: redis.Redis, broker: BrokerAddress) -> None:
    pipeline = login.pipeline()
    pipeline.lpush("fleet.inbox", "x")
    pipeline.flushall()
    with pytest.raises(redis.exceptions.RedisError):
        pipeline.execute()
    with broker.client() as centre:
        assert centre.llen("fleet.inbox") == 0


@pytest.mark.parametrize("password", ["", "wrong", f"{PASSWORD} "])
def test_without_its_password_a_host_is_nobody(broker: BrokerAddress, host: BrokerAddress, password: str) -> None:
    with (
        broker.with_login(host.username, password or "x").client() as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()


def test_who_tries_wrong_passwords_as_a_host_is_told_and_who_asks_for_too_much_is_not(
    keeper: AclKeeper, broker: BrokerAddress, host: BrokerAddress, host_id: str
) -> None:
    with broker.client() as centre:
        _say(centre, "ACL LOG", "RESET")
    with host.client() as client, pytest.raises(redis.exceptions.NoPermissionError):
        _say(client, "FLUSHALL")
    assert keeper.turned_away(60) == set()
    for user in (host.username, "somebody"):
        with broker.with_login(user, "wrong").client() as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
    assert keeper.turned_away(60) == {host_id}
    assert keeper.turned_away(-1) == set()


def test_a_host_that_is_known_and_right_is_not_missing(keeper: AclKeeper, host: BrokerAddress, host_id: str) -> None:
    login = HostLogin(host_id=host_id, password_sha256=password_hash(PASSWORD))
    other = HostLogin(host_id=uuid4().hex, password_sha256="0" * 64)
    changed = HostLogin(host_id=host_id, password_sha256="0" * 64)
    assert keeper.missing([login]) == []
    assert keeper.missing([login, other]) == [other]
    assert keeper.missing([changed]) == [changed]


def test_two_passwords_hold_while_one_is_replaced(
    keeper: AclKeeper, broker: BrokerAddress, host: BrokerAddress, host_id: str
) -> None:
    """Setting the second one disturbs nobody; once it alone holds, who came in by the first is thrown out."""
    both = HostLogin(host_id=host_id, password_sha256=password_hash(PASSWORD), next_sha256=password_hash("own"))
    own = HostLogin(host_id=host_id, password_sha256=password_hash("own"))
    with host.client() as first, broker.with_login(acl_user(host_id), "own").client() as second:
        connection = first.connection_pool.get_connection()
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"
        assert [(each.login, each.void) for each in keeper.differing([both])] == [(both, False)]
        keeper.apply([both])
        assert keeper.missing([both]) == []
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"
        second.ping()
        assert [(each.login, each.void) for each in keeper.differing([own])] == [(own, True)]
        keeper.apply([own], cut=True)
        assert keeper.missing([own]) == []
        with pytest.raises(redis.exceptions.ConnectionError):
            connection.read_response()
        second.ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            first.ping()


def test_rights_that_somebody_widened_are_found_and_taken_back(
    keeper: AclKeeper, broker: BrokerAddress, host_id: str, host: BrokerAddress
) -> None:
    login = HostLogin(host_id=host_id, password_sha256=password_hash(PASSWORD))
    with broker.client() as centre, host.client() as client:
        _say(centre, "ACL SETUSER", acl_user(host_id), "+flushall")
        assert keeper.missing([login]) == [login]
        keeper.apply([login])
        assert keeper.missing([login]) == []
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()


def test_users_that_a_restart_lost_are_found(keeper: AclKeeper, broker: BrokerAddress) -> None:
    logins = [HostLogin(host_id=uuid4().hex, password_sha256="a" * 64) for _ in range(1200)]
    keeper.apply(logins)
    assert keeper.missing(logins) == []
    with broker.client() as centre:
        _say(centre, "ACL DELUSER", acl_user(logins[7].host_id))
    assert keeper.missing(logins) == [logins[7]]
    keeper.drop([login.host_id for login in logins])


def test_a_removed_host_is_thrown_out(keeper: AclKeeper, host_id: str, login: redis.Redis) -> None:
    login.ping()
    assert host_id in keeper.strangers([])
    keeper.drop([host_id])
    with pytest.raises(redis.exceptions.RedisError):
        login.ping()
    assert host_id not in keeper.strangers([])


def test_later_servers_are_told_of_setinfo_alone() -> None:
    without, with_it = (
        acl_rules(HostLogin(host_id="0" * 32, password_sha256="a" * 64), setinfo=setinfo) for setinfo in (False, True)
    )
    assert set(with_it) - set(without) == {"+client|setinfo"}


@pytest.mark.parametrize("host_id", ["*", "", "0" * 31, "0" * 33, "G" * 32, "0" * 32 + " ~*", "../" + "0" * 29])
def test_no_name_becomes_a_pattern(host_id: str) -> None:
    with pytest.raises(Exception, match=r"^cannot use"):
        acl_rules(HostLogin(host_id=host_id, password_sha256="a" * 64))
