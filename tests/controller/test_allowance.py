"""One host may say so much and no more: what it sends beyond that costs the database nothing, and nobody else waits for it."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Table, func, select, update

from fleet.controller.allowance import Allowance, Meter
from fleet.controller.inbox import Inbox
from fleet.history.inbox.taking import Bad
from fleet.history.inventory import hosts
from fleet.history.inventory.logins import MUTED_FOR
from fleet.history.tables.inventory import containers
from fleet.history.tables.inventory import hosts as table
from fleet.history.tables.road import messages, refused
from fleet.road.messages import Snapshot
from fleet.road.up import Letter
from tests.controller.centre import Centre, ScriptedHost, nginx

FEW = Allowance(window_s=600, letters=5, bytes=100_000, refused=3)


@pytest.fixture
def strict(centre: Centre) -> Inbox:
    """The centre's inbox, with a small allowance."""
    return Inbox(centre.db, centre.reader, centre.inbox._lock, allowance=FEW)


def read(inbox: Inbox) -> None:
    """Read all that waits."""
    while inbox.step():
        pass


def count(centre: Centre, of: Table, host: ScriptedHost) -> int:
    """Return how many rows of a table are the host's."""
    with centre.db.reading() as connection:
        query = select(func.count()).select_from(of).where(of.c.host_id == host.id)
        return int(connection.execute(query).scalar_one())


@pytest.mark.redis
class TestInbox:
    def test_who_says_too_much_is_shut_out_and_the_rest_of_it_thrown_away(self, centre: Centre, strict: Inbox) -> None:
        evil, good = centre.add_host("web-1"), centre.add_host("web-2")
        for _ in range(20):
            evil.heartbeat()
        good.heartbeat()
        read(strict)
        assert centre.reader.length() == 0
        assert (count(centre, messages, evil), count(centre, messages, good)) == (5, 1)
        told = hosts.host(centre.db, "web-1"), hosts.host(centre.db, "web-2")
        assert [row.muted_at is not None for row in told] == [True, False]

    def test_the_broker_takes_its_right_away_and_gives_it_back(self, centre: Centre, strict: Inbox) -> None:
        evil = centre.add_host("web-1")
        for _ in range(6):
            evil.heartbeat()
        read(strict)
        centre.reconciler.reconcile()
        with pytest.raises(Exception, match=r"(?i)nopermission"):
            evil.heartbeat()
        with centre.db.writing() as connection:
            connection.execute(update(table).values(muted_at=centre.db.now() - MUTED_FOR - timedelta(seconds=1)))
        centre.reconciler.reconcile()
        evil.heartbeat()

    def test_of_what_is_refused_a_few_are_kept(self, centre: Centre, strict: Inbox) -> None:
        evil = centre.add_host("web-1")
        for _ in range(5):
            evil.say_raw("garbage")
        read(strict)
        assert (count(centre, refused, evil), centre.reader.length()) == (3, 0)

    def test_of_what_is_signed_and_cannot_be_used_as_few_are_kept(self, centre: Centre, strict: Inbox) -> None:
        evil = centre.add_host("web-1")
        for part in range(1, 6):
            evil.say(Snapshot(hash="of no such part", part=part, parts=1, containers=()))
        read(strict)
        assert (count(centre, refused, evil), centre.reader.length()) == (3, 0)

    @pytest.mark.parametrize("at_once", [True, False])
    def test_snapshots_that_never_end_fill_nothing(
        self, centre: Centre, at_once: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fleet.history.inbox.snapshots." + ("MOST_AT_ONCE" if at_once else "MOST_KNOWN"), 10)
        evil = centre.add_host("web-1")
        evil.say(Snapshot(hash="first", parts=2, containers=tuple(nginx(f"web-{n}") for n in range(9))))
        for n in range(5):
            evil.say(Snapshot(hash=uuid4().hex, parts=2, containers=tuple(nginx(f"{n}-{each}") for each in range(11))))
        read(centre.inbox)
        assert count(centre, containers, evil) == 9


def letter(sender: str = "a", size: int = 10) -> Letter:
    """Return a message of that size."""
    return Letter(raw=b"x" * size, sender=sender)


def test_bytes_count_as_letters_do() -> None:
    meter = Meter(allowance=FEW)
    assert meter.allowed([letter(size=60_000)] * 3, 0.0) == ([letter(size=60_000)], ["a"])


def test_the_end_is_told_once_and_a_new_window_begins_anew() -> None:
    meter = Meter(allowance=FEW)
    assert meter.allowed([letter()] * 9, 0.0) == ([letter()] * 5, ["a"])
    assert meter.allowed([letter(), letter("b")], 599.9) == ([letter("b")], [])
    assert meter.allowed([letter()], 600.0) == ([letter()], [])


def test_nobody_is_blamed_for_the_one_list_of_all() -> None:
    meter = Meter(allowance=FEW)
    assert meter.allowed([letter("")] * 9, 0.0) == ([letter("")] * 9, [])
    assert sum(meter.keeps(Bad(raw=b"", reason="x")) for _ in range(9)) == FEW.refused
