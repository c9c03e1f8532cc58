"""Who a host is: what is on its disk decides, and a join file that was not seen before begins anew."""

from pathlib import Path
from uuid import uuid4

import pytest

from fleet.agent.identity import NEXT, OWN, Identity, known
from fleet.errors import BadInput
from fleet.road.broker import BrokerAddress
from fleet.road.join import JoinFile
from fleet.road.keys import SigningKey

BROKER = BrokerAddress.parse("redis://127.0.0.1:6379")


def join_file(host_id: str = "") -> JoinFile:
    """Make a join file."""
    return JoinFile.make(
        host_id=host_id or uuid4().hex,
        host_name="web-1",
        broker=BROKER,
        password="carried",
        centre_keys=(SigningKey.generate().public,),
    )


def test_at_first_the_join_file_holds(tmp_path: Path) -> None:
    join = join_file()
    identity = Identity(tmp_path, join)
    assert (identity.current, identity.own, identity.next) == (join, False, None)
    assert not known(tmp_path)


def test_what_follows_is_on_the_disk_before_anybody_hears_of_it_and_the_same_after_a_kill(tmp_path: Path) -> None:
    join = join_file()
    following = Identity(tmp_path, join).follow()
    again = Identity(tmp_path, join)
    assert (again.current, again.own) == (join, False)
    assert again.follow().text() == following.text()
    assert known(tmp_path), "who it is, is written down from here on"
    assert Identity(tmp_path, None).current.text() == following.text(), "and holds where the join file is gone"
    assert following.key.kid != join.key.kid
    assert following.broker.password != "carried"
    assert (tmp_path / NEXT).stat().st_mode & 0o777 == 0o600


def test_what_was_taken_holds_from_then_on(tmp_path: Path) -> None:
    join = join_file()
    identity = Identity(tmp_path, join)
    taken = identity.take()
    assert (identity.current, identity.own, identity.next) == (taken, True, None)
    again = Identity(tmp_path, join)
    assert (again.current.text(), again.own) == (taken.text(), True)
    assert (tmp_path / OWN).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / NEXT).exists()


def test_the_join_file_may_be_gone_after_first_contact(tmp_path: Path) -> None:
    taken = Identity(tmp_path, join_file()).take()
    assert Identity(tmp_path, None).current.text() == taken.text()


def test_without_a_join_file_and_without_an_identity_nobody_is_anybody(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot tell who this host is: .*--join"):
        Identity(tmp_path, None)


def test_a_new_join_file_of_the_same_host_begins_anew(tmp_path: Path) -> None:
    """A person wrote it with fleet host rejoin: what was before is void at the centre."""
    first = join_file()
    before = Identity(tmp_path, first).take()
    second = join_file(first.host_id)
    identity = Identity(tmp_path, second)
    assert (identity.current, identity.own) == (second, False)
    taken = identity.take()
    assert before.key.kid != taken.key.kid != second.key.kid
    assert Identity(tmp_path, second).current.text() == taken.text()


def test_what_followed_another_join_file_is_made_anew(tmp_path: Path) -> None:
    first = join_file()
    following = Identity(tmp_path, first).follow()
    assert Identity(tmp_path, join_file(first.host_id)).follow().key.kid != following.key.kid


def test_a_join_file_that_names_a_broker_that_moved_is_heeded(tmp_path: Path) -> None:
    join = join_file()
    taken = Identity(tmp_path, join).take()
    moved = join.moved(BrokerAddress.parse("redis://127.0.0.1:7000"))
    now = Identity(tmp_path, moved).current
    assert (now.broker.port, now.key.kid, now.broker.password) == (7000, taken.key.kid, taken.broker.password)


def test_a_damaged_identity_is_told_with_the_remedy_and_never_quoted(tmp_path: Path) -> None:
    join = join_file()
    taken = Identity(tmp_path, join).take()
    text = (tmp_path / OWN).read_text()
    (tmp_path / OWN).write_text(text[: len(text) // 2])
    with pytest.raises(BadInput, match=r"^cannot read .*fleet host rejoin") as caught:
        Identity(tmp_path, join)
    assert taken.broker.password not in str(caught.value)


def test_a_damaged_next_one_is_made_anew(tmp_path: Path) -> None:
    join = join_file()
    Identity(tmp_path, join).follow()
    (tmp_path / NEXT).write_text("{")
    assert Identity(tmp_path, join).take().key.kid != join.key.kid


def test_an_identity_that_others_may_read_is_void(tmp_path: Path) -> None:
    join = join_file()
    Identity(tmp_path, join).take()
    (tmp_path / OWN).chmod(0o644)
    with pytest.raises(BadInput, match="others may read it"):
        Identity(tmp_path, join)
