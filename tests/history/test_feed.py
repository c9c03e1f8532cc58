"""Events are numbered once they can be seen, in one order for all who read, on both databases."""

import threading
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import delete

from fleet.history.noted import followed
from fleet.history.noted.events import event, tell
from fleet.history.notify import feed
from fleet.history.notify.feed import Bounds
from fleet.history.sql.database import Database
from fleet.history.tables.feed import feed as table
from fleet.history.tables.notify import events
from fleet.ids import new_id
from fleet.notify.events import EventType
from fleet.notify.severity import Severity
from tests.history.conftest import HeldClock
from tests.history.world import World, container, rows

DETAILS = {"code": "mirror-down", "title": "mirror down", "text": "x"}


def happen(db: Database, *subjects: str) -> list[UUID]:
    """Let conditions be raised; return the ids of their events."""
    kind = (EventType.CONDITION_RAISED, Severity.WARNING)
    with db.writing() as connection:
        now = db.moment(connection)
        rows = [event(id=new_id(), kind=kind, at=now, subject=each, details=DETAILS) for each in subjects]
        tell(connection, rows)
        return [row["id"] for row in rows]


def subjects(db: Database, after: int) -> Sequence[str]:
    return [told.event.subject for told in feed.read_after(db, after, "urn:x", selecting=False).told]


def test_numbers_go_on_without_a_gap_and_are_never_given_twice(world: World, clock: HeldClock) -> None:
    assert feed.bounds(world.db) == Bounds(oldest=1, last=0)
    assert feed.number_new(world.db) == 0
    happen(world.db, "a", "b")
    clock.move(seconds=1)
    happen(world.db, "c")
    assert feed.number_new(world.db) == 3
    assert subjects(world.db, 0) == ["a", "b", "c"]
    assert subjects(world.db, 2) == ["c"]
    assert feed.number_before(world.db, clock.now()) == 2
    with world.db.writing() as connection:
        connection.execute(delete(events))
    assert feed.bounds(world.db) == Bounds(oldest=4, last=3)
    happen(world.db, "d")
    feed.number_all(world.db)
    assert feed.bounds(world.db) == Bounds(oldest=4, last=4)
    assert feed.number_before(world.db, clock.now()) == 3
    clock.move(seconds=1)
    assert feed.number_before(world.db, clock.now()) == 4, "nothing was written then"


def test_what_is_committed_late_gets_a_later_number_whatever_its_time(world: World, clock: HeldClock) -> None:
    clock.move(hours=1)
    happen(world.db, "young")
    feed.number_all(world.db)
    clock.move(hours=-1)
    happen(world.db, "old")
    feed.number_all(world.db)
    assert subjects(world.db, 0) == ["young", "old"]
    assert subjects(world.db, 1) == ["old"]


@pytest.mark.parametrize(("after", "lost"), [(0, True), (1, True), (2, False), (4, False), (5, True)])
def test_what_is_not_kept_is_lost_and_what_never_was_too(after: int, lost: bool) -> None:
    assert Bounds(oldest=3, last=4).lost(after) is lost


def test_who_numbers_at_the_same_time_gives_each_event_one_number(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 7)
    for n in range(20):
        happen(world.db, *(f"s{n}-{m}" for m in range(5)))
    threads = [threading.Thread(target=feed.number_all, args=(world.db,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = feed.read_after(world.db, 0, "urn:x", selecting=False)
    assert [told.number for told in page.told] == list(range(1, 101))
    assert feed.bounds(world.db) == Bounds(oldest=1, last=100)


def test_what_an_event_is_about_is_known_where_somebody_selects(world: World) -> None:
    world.add_host("web-1")
    happen(world.db, "web-1")
    feed.number_all(world.db)
    (told,) = feed.read_after(world.db, 0, "urn:x", selecting=True).told
    assert [about.host for about in told.about] == ["web-1"]
    assert '"source":"urn:x"' in told.document


def test_each_success_is_told_of_while_somebody_follows_who_wants_it_and_a_day_longer(
    world: World, clock: HeldClock
) -> None:
    world.add_host("web-1", container("shop"))
    assert not followed.is_followed(world.db)
    followed.note(world.db, each=False)
    assert followed.is_followed(world.db)
    assert not each_is_followed(world.db, clock)
    clock.move(seconds=10)
    followed.note(world.db, each=True)
    assert each_is_followed(world.db, clock)
    world.rollout()
    world.run(12)
    assert [row["type"] for row in rows(world.db, events)].count(EventType.APPLIED) == 1
    clock.sleep(followed.FOR.total_seconds())
    assert not followed.is_followed(world.db)
    assert not each_is_followed(world.db, clock)


def each_is_followed(db: Database, clock: HeldClock) -> bool:
    with db.reading() as connection:
        return followed.each_is_followed(connection, clock.now())


def test_that_somebody_follows_is_written_down_once_a_minute(world: World, clock: HeldClock) -> None:
    followed.note(world.db, each=True)
    first = clock.now()
    clock.move(seconds=59)
    followed.note(world.db, each=True)
    assert rows(world.db, table)[0]["followed_at"] == first
    clock.move(seconds=1)
    followed.note(world.db, each=False)
    (row,) = rows(world.db, table)
    assert (row["followed_at"], row["each_at"]) == (clock.now(), first)
