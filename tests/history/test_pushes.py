"""A push that was heard of has its tag asked for soon, once, and only where the fleet runs it."""

from dataclasses import replace

import pytest

from fleet.errors import NotFound, Refused
from fleet.history.noted import audit
from fleet.history.registries import pushes, receivers, tags
from fleet.history.registries.receivers import MOST_RECEIVERS, ReceiverLock
from fleet.history.tables.pushes import pushes as table
from fleet.images.pushed import Pushed
from tests.history.conftest import HeldClock
from tests.history.world import World, container, digest_of, rows

NGINX = "docker.io/library/nginx:1.27"
SHOP = ("git.lan/team/shop:1", "git.lan/team/shop:2", "git.lan/team/shop/api:1", "git.lan/team/shopping:1")
KEYED = ("art.lan/virtual/team/shop:1", "art.lan/a/b/team/shop:1")


def pushed(registry: str, repository: str, tag: str = "", *, below: bool = False, keyed: bool = False) -> Pushed:
    return Pushed(registry=registry, repository=repository, tag=tag, below=below, keyed=keyed)


@pytest.fixture
def lock(world: World) -> ReceiverLock:
    """A receiver, in a fleet that follows some tags, all of which were asked for an hour ago."""
    away = replace(container("z", "git.lan/team/shop:9"), state="exited")
    world.add_host(
        "web-1", container("a"), *(container(f"c{n}", image) for n, image in enumerate((*SHOP, *KEYED))), away
    )
    for image in (NGINX, *SHOP, *KEYED, "git.lan/team/shop:9", "git.lan/gone:1"):
        tags.record_resolved(world.db, image, digest_of("1"), "https://x")
    row = receivers.add_receiver(world.db, name="git", sha256="ab" * 32, registry="", by="person:anna", door="socket")
    found = receivers.receiver_lock(world.db, row.id)
    assert found is not None
    return found


def hear(world: World, lock: ReceiverLock, *images: Pushed) -> list[str]:
    return pushes.hear(world.db, lock, "generic: it", images, door="hook 10.0.0.9")


def test_what_was_pushed_is_asked_for_once_some_seconds_later(
    world: World, clock: HeldClock, lock: ReceiverLock
) -> None:
    clock.move(hours=1)
    assert not pushes.any_due(world.db)
    for _ in range(50):
        assert hear(world, lock, pushed("docker.io", "library/nginx", "1.27")) == [NGINX]
    assert not pushes.any_due(world.db), "a registry may say it again"
    clock.sleep(pushes.GATHERED.total_seconds())
    assert pushes.any_due(world.db)
    assert pushes.take_due(world.db) == [NGINX]
    assert pushes.take_due(world.db) == []
    hear(world, lock, pushed("git.lan", "team/shop", "1"))
    hear(world, lock, pushed("git.lan", "team/shop"))
    second, first, act = audit.acts(world.db, who="receiver:git").items
    assert [each.details["images"] for each in (first, second)] == [[SHOP[0]], [SHOP[1]]], "what is new alone"
    assert (act.action, act.subject, act.door) == ("push heard", NGINX, "hook 10.0.0.9")
    assert act.details == {"heard": "generic: it", "images": [NGINX]}


def test_what_is_pushed_again_and_again_is_left_alone_for_a_while_after_a_check(
    world: World, clock: HeldClock, lock: ReceiverLock
) -> None:
    clock.move(hours=1)
    tags.lease(world.db, [NGINX], clock.now(), 300)
    hear(world, lock, pushed("docker.io", "library/nginx", "1.27"))
    clock.move(seconds=10)
    assert not pushes.any_due(world.db), "somebody asks for it at this moment, maybe before the push"
    tags.record_resolved(world.db, NGINX, digest_of("1"), "https://x")
    assert not pushes.any_due(world.db)
    clock.sleep(pushes.APART.total_seconds())
    assert pushes.take_due(world.db) == [NGINX]


@pytest.mark.parametrize(
    ("meant", "found"),
    [
        (pushed("git.lan", "team/shop", "1"), SHOP[:1]),
        (pushed("git.lan", "team/shop", "3"), ()),
        (pushed("git.lan", "team/shop", "9"), ()),
        (pushed("git.lan", "gone", "1"), ()),
        (pushed("other.lan", "team/shop", "1"), ()),
        (pushed("git.lan", "team/shop"), SHOP[:2]),
        (pushed("", "team/shop", "1"), SHOP[:1]),
        (pushed("", "shop", "1"), ()),
        (pushed("", "team/shop", below=True), (*SHOP[:2], SHOP[2])),
        (pushed("", "team/shop", "1", keyed=True), (SHOP[0], KEYED[0])),
        (pushed("art.lan", "team/shop", "1", keyed=True), KEYED[:1]),
        (pushed("git.lan", "team/shop", "1", keyed=True), SHOP[:1]),
        (pushed("", "shop", "1", keyed=True), SHOP[:1]),
        (pushed("", "shop", "3", keyed=True), ()),
        (pushed("git.lan", "team_shop", "1"), ()),
        (pushed("git.lan", "%", ""), ()),
    ],
)  # fmt: skip
def test_only_what_running_containers_follow_is_asked_for(
    world: World, clock: HeldClock, lock: ReceiverLock, meant: Pushed, found: tuple[str, ...]
) -> None:
    clock.move(hours=1)
    assert sorted(hear(world, lock, meant)) == sorted(found)
    assert sorted(row["image"] for row in rows(world.db, table)) == sorted(found)


def test_what_nothing_comes_of_is_noted_to_the_minute_and_audited_never(
    world: World, clock: HeldClock, lock: ReceiverLock
) -> None:
    hear(world, lock, pushed("other.lan", "x", "1"))
    (row,) = receivers.receivers(world.db)
    assert (row.last_used_at, row.last_heard) == (clock.now(), "generic: it")
    first = clock.now()
    clock.move(seconds=59)
    again = receivers.receiver_lock(world.db, lock.id)
    assert again is not None
    receivers.note_use(world.db, again, "later")
    assert receivers.receivers(world.db)[0].last_used_at == first
    clock.move(seconds=1)
    receivers.note_use(world.db, again, "later")
    assert receivers.receivers(world.db)[0].last_heard == "later"
    assert audit.acts(world.db, action="push heard").items == ()


def test_receivers_are_named_once_counted_and_removed(world: World) -> None:
    def add(name: str) -> None:
        receivers.add_receiver(world.db, name=name, sha256="00", registry="", by="person:anna", door="socket")

    add("r0")
    with pytest.raises(Refused, match="the name 'r0' is taken"):
        add("r0")
    for n in range(1, MOST_RECEIVERS):
        add(f"r{n}")
    with pytest.raises(Refused, match="fleet receiver rm"):
        add("one more")
    gone = next(row for row in receivers.receivers(world.db) if row.name == "r7")
    receivers.remove_receiver(world.db, "r7", by="person:anna", door="socket")
    assert receivers.receiver_lock(world.db, gone.id) is None
    with pytest.raises(NotFound, match="fleet receiver ls"):
        receivers.remove_receiver(world.db, "r7", by="person:anna", door="socket")
