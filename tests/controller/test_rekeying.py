"""Keys and passwords that hosts replace by their own, and those that a person has replaced, over real queues."""

import secrets
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from fleet.controller import inventory
from fleet.errors import BrokerUnreachable, Refused
from fleet.history.inbox import batch as inbox_batch
from fleet.history.inventory import hosts
from fleet.history.inventory.logins import logins
from fleet.history.tables.inventory import host_keys
from fleet.road.acl import password_hash
from fleet.road.keys import SigningKey
from fleet.road.messages import Rekey
from fleet.road.up import lets_in
from tests.controller.centre import BY, DOOR, Centre, ScriptedHost

pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True)
def heard_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each word that is taken be written down, so that it is seen which are."""
    monkeypatch.setattr(inbox_batch, "HEARD_ANEW", timedelta())


def following(centre: Centre, host: ScriptedHost) -> ScriptedHost:
    """Return the same host with another key and another password, of which nobody has heard yet."""
    password = secrets.token_urlsafe(24)
    return ScriptedHost(host.id, centre.broker, password, SigningKey.generate(), centre.key.public)


def rekey(new: ScriptedHost) -> Rekey:
    """Return what is told of it."""
    return Rekey(public_key=str(new.key.public), password_sha256=password_hash(new.broker.password))


def seen(centre: Centre, host: ScriptedHost) -> datetime | None:
    """Return when the host was last heard of."""
    return hosts.host(centre.db, host.id.hex).last_seen_at


def test_both_hold_until_the_new_one_is_heard_and_then_it_alone(centre: Centre) -> None:
    old = centre.add_host("web-1")
    new = following(centre, old)
    with closing(new):
        assert not lets_in(new.broker)
        old.say(rekey(new))
        centre.turn()
        assert lets_in(new.broker)
        old.heartbeat()
        centre.turn()
        assert lets_in(old.broker)
        new.heartbeat()
        centre.turn()
        assert not lets_in(old.broker)
        with pytest.raises(BrokerUnreachable):
            old.heartbeat()
        (login,) = logins(centre.db)
        assert (login.password_sha256, login.next_sha256) == (password_hash(new.broker.password), "")
        assert hosts.key_owner(centre.db, old.key.kid) is None
        new.heartbeat()
        heard = seen(centre, new)
        centre.turn()
        assert seen(centre, new) != heard
        assert centre.reconciler.reconcile().restored == 0


def test_what_the_old_key_signs_is_refused_once_it_is_void(centre: Centre) -> None:
    """Also over the new login: the broker lets it in, and the signature counts for nothing."""
    old = centre.add_host("web-1")
    new = following(centre, old)
    with closing(new):
        old.say(rekey(new))
        centre.turn()
        new.heartbeat()
        centre.turn()
        new.key, thief = old.key, new.key
        before = seen(centre, new)
        new.heartbeat()
        centre.turn()
        assert seen(centre, new) == before
        new.key = thief


def test_it_may_be_told_again_and_too_late(centre: Centre) -> None:
    old = centre.add_host("web-1")
    new = following(centre, old)
    with closing(new):
        for _ in range(2):
            old.say(rekey(new))
            centre.turn()
        new.heartbeat()
        centre.turn()
        new.say(rekey(new))
        centre.turn()
        assert lets_in(new.broker)
        assert len(logins(centre.db)) == 1


def test_the_last_one_told_is_the_one_that_may_follow(centre: Centre) -> None:
    """A host that lost its disk in between makes another; the first is nobody's any more."""
    old = centre.add_host("web-1")
    first, second = following(centre, old), following(centre, old)
    with closing(first), closing(second):
        for each in (first, second):
            old.say(rekey(each))
            centre.turn()
        assert hosts.key_owner(centre.db, first.key.kid) is None
        assert not lets_in(first.broker)
        second.heartbeat()
        centre.turn()
        assert lets_in(second.broker)
        assert hosts.key_owner(centre.db, old.key.kid) is None


def test_one_that_makes_ever_more_of_them_fills_nothing(centre: Centre) -> None:
    host = centre.add_host("web-1")
    for _ in range(5):
        host.say(Rekey(public_key=str(SigningKey.generate().public), password_sha256="0" * 64))
    centre.turn()
    with centre.db.reading() as connection:
        assert connection.execute(select(func.count()).select_from(host_keys)).scalar_one() == 2


def _anothers(centre: Centre) -> SigningKey:
    return centre.add_host("web-2").key


def _revoked(centre: Centre) -> SigningKey:
    old = centre.hosts[0]
    kept, old.key = old.key, SigningKey.generate()
    inventory.rejoin_host(
        centre.db,
        centre.broker,
        "web-1",
        public_key=str(old.key.public),
        password_sha256=password_hash(old.broker.password),
        by=BY,
        door=DOOR,
    )
    return kept


@pytest.mark.parametrize("wanted", [_anothers, _revoked])
def test_a_key_of_another_host_or_one_that_was_revoked_cannot_follow(
    centre: Centre, wanted: Callable[[Centre], SigningKey]
) -> None:
    old = centre.add_host("web-1")
    key = wanted(centre)
    old.say(Rekey(public_key=str(key.public), password_sha256="0" * 64))
    centre.turn()
    login = next(row for row in logins(centre.db) if row.host_id == old.id)
    assert login.next_sha256 == ""


def test_a_private_key_is_never_taken(centre: Centre) -> None:
    old = centre.add_host("web-1")
    key = SigningKey.generate()
    old.say(Rekey(public_key=key.private_text(), password_sha256="0" * 64))
    centre.turn()
    assert hosts.key_owner(centre.db, key.kid) is None


def test_a_broker_that_restarts_in_between_lets_both_in_again(centre: Centre) -> None:
    old = centre.add_host("web-1")
    new = following(centre, old)
    with closing(new):
        old.say(rekey(new))
        centre.turn()
        with centre.broker.client() as client:
            client.execute_command("ACL DELUSER", old.broker.username)
        centre.reconciler.reconcile()
        assert lets_in(old.broker)
        assert lets_in(new.broker)


def age(centre: Centre, **parts: float) -> None:
    """Let every key have been made so long ago."""
    with centre.db.writing() as connection:
        connection.execute(update(host_keys).values(created_at=centre.db.now() - timedelta(**parts)))


def test_who_tries_a_void_login_is_told(centre: Centre) -> None:
    """A second machine with the same join file: the first one has replaced what it holds."""
    host, other = centre.add_host("web-1"), centre.add_host("web-2")
    age(centre, hours=1)
    assert not lets_in(host.broker.with_login(host.broker.username, "carried"))
    centre.reconciler.reconcile()
    first = hosts.host(centre.db, "web-1")
    assert first.strangers_at is not None
    assert hosts.host(centre.db, other.id.hex).strangers_at is None
    centre.reconciler.reconcile()
    again = hosts.host(centre.db, "web-1")
    assert again.strangers_since == first.strangers_since
    assert again.strangers_at is not None and again.strangers_at > first.strangers_at


def test_a_host_that_tries_its_own_new_password_is_no_stranger(centre: Centre) -> None:
    host = centre.add_host("web-1")
    assert not lets_in(host.broker.with_login(host.broker.username, "not yet"))
    centre.reconciler.reconcile()
    assert hosts.host(centre.db, "web-1").strangers_at is None


def rejoin(centre: Centre, name: str, new: ScriptedHost) -> None:
    """Replace key and password as fleet host rejoin does."""
    inventory.rejoin_host(
        centre.db,
        centre.broker,
        name,
        public_key=str(new.key.public),
        password_sha256=password_hash(new.broker.password),
        by=BY,
        door=DOOR,
    )


def test_a_host_that_joins_again_is_the_same_and_its_old_key_is_void_at_once(centre: Centre) -> None:
    old = centre.add_host("web-1")
    old.heartbeat()
    centre.turn()
    new = following(centre, old)
    with closing(new):
        rejoin(centre, "web-1", new)
        assert not lets_in(old.broker)
        with pytest.raises(BrokerUnreachable):
            old.heartbeat()
        assert hosts.key_owner(centre.db, old.key.kid) is None
        before = seen(centre, old)
        new.heartbeat()
        centre.turn()
        assert seen(centre, new) != before
        assert hosts.host(centre.db, "web-1").id == old.id


def test_joining_again_forgets_a_key_that_was_being_replaced(centre: Centre) -> None:
    old = centre.add_host("web-1")
    stolen, new = following(centre, old), following(centre, old)
    with closing(stolen), closing(new):
        old.say(rekey(stolen))
        centre.turn()
        assert lets_in(stolen.broker)
        rejoin(centre, "web-1", new)
        assert not lets_in(stolen.broker)
        assert hosts.key_owner(centre.db, stolen.key.kid) is None


def test_nobody_joins_again_with_a_key_that_was_used_before(centre: Centre) -> None:
    old = centre.add_host("web-1")
    with pytest.raises(Refused, match=r"^cannot keep this host: its key belongs to a host"):
        rejoin(centre, "web-1", old)
    assert lets_in(old.broker)
