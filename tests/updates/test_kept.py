"""Which old images stay for the way back, which go, and that nobody else's does."""

from pathlib import Path

import pytest

from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.updates.command import Policy, VerifyPolicy
from fleet.updates.journal import Journal
from fleet.updates.kept import KEPT_TAG, Generations, keep_and_remove, keep_name
from fleet.updates.known import KnownDigests
from fleet.updates.outcome import Result
from fleet.updates.watch import Watch
from fleet.updates.ways import Errand
from tests.updates.site import Shape, Site, engine_says_no, restart

pytestmark = pytest.mark.usefixtures("quick_disk")
APP = Reference.parse("app:1")


class Shelf:
    """An engine on which a container runs one image after the other."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.engine, self.generations = MemoryEngine(), Generations(folder / "generations.json")
        self.policy = Policy(remove_old_image=True, keep_images=keep)
        self.images = [self._new(0)]

    def _new(self, number: int) -> str:
        return self.engine.add_image("", digest=str(Digest.of(bytes([number])))).id

    def update(self, image: str = "") -> str:
        """Let the container run a newer image, or *image*; return what is left over."""
        now = image or self._new(len(self.images))
        found = self.engine.image(now)
        assert found is not None
        keep_name(self.engine, APP, found, self.policy)
        self.engine.tag(now, "app", "1")
        old = self.images[-1]
        self.images.append(now)
        return keep_and_remove(self.engine, self.generations, "web", APP, old=old, now=now, policy=self.policy)

    @property
    def there(self) -> set[str]:
        """The images that the engine has."""
        return set(self.engine.world.images.images)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_so_many_old_images_stay_as_the_policy_says(keep: int, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, keep)
    for _ in range(5):
        assert shelf.update() == ""
    assert shelf.there == set(shelf.images[-1 - keep :])
    names = {name for name in shelf.engine.image_names() if KEPT_TAG in name}
    assert names == {f"app:{KEPT_TAG}{image[7:19]}" for image in shelf.images[-1 - keep : -1]}


def test_the_way_back_and_forth_again_keeps_both(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    shelf.update()
    first, second = shelf.images
    for image in (first, second, first):
        assert shelf.update(image) == ""
        assert shelf.there == {first, second}


def test_an_image_that_somebody_named_or_another_container_runs_or_keeps_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 0)
    first = shelf.images[0]
    shelf.engine.tag(first, "mine", "backup")
    shelf.update()
    second = shelf.images[-1]
    shelf.engine.run("other", "app:1")
    shelf.update()
    third = shelf.images[-1]
    shelf.generations.add("another", third, now="sha256:1", most=1)
    shelf.update()
    assert shelf.there == {first, second, third, shelf.images[-1]}
    assert "mine:backup" in shelf.engine.image_names()


def test_what_is_kept_no_longer_is_told_and_nothing_else(tmp_path: Path) -> None:
    generations = Generations(tmp_path / "generations.json")
    assert generations.add("web", "one", now="two", most=1) == ()
    assert generations.add("web", "two", now="three", most=1) == ("one",)
    assert generations.add("web", "three", now="three", most=1) == ()
    assert generations.add("web", "three", now="four", most=0) == ("two", "three")


def test_an_image_that_already_has_its_tag_gets_no_further_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    shelf.engine.tag(shelf.images[0], "app", "1")
    assert shelf.update(shelf.images[0]) == ""
    assert shelf.engine.image_names() == ["app:1", *(n for n in shelf.engine.image_names() if "@" in n)]


def test_an_image_that_somebody_removed_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    shelf.update()
    first, second = shelf.images
    del shelf.engine.world.images.images[first]
    assert shelf.update() == ""
    assert shelf.there == {second, shelf.images[-1]}


def test_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 0)
    shelf.engine.fail("remove_image", engine_says_no)
    assert "internal error" in shelf.update()


def test_a_damaged_memory_removes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    shelf.update()
    (tmp_path / "generations.json").write_text('{"web": 3}')
    assert shelf.generations.of("web") == ()
    assert shelf.update() == ""
    assert shelf.there == set(shelf.images)


def test_an_update_keeps_the_old_image_for_the_way_back(tmp_path: Path) -> None:
    policy = Policy(verify=VerifyPolicy(settle_ms=0), remove_old_image=True)
    site = Site(tmp_path, Shape(body=restart("always"), policy=policy))
    assert site.update().result is Result.UPDATED
    assert site.engine.image(site.old_image) is not None
    assert f"app:{KEPT_TAG}{site.old_image[7:19]}" in site.engine.image_names()
    assert Generations(Journal(site.path).path / "generations.json").of("web") == (site.old_image,)


def test_a_pull_names_the_old_image_before_its_tag_goes(tmp_path: Path) -> None:
    """Containerd's store loses an image with its last name, though a container runs it."""
    engine, clock = MemoryEngine(), ManualClock()
    old, new = engine.add_image("app:1"), engine.add_image("", digest=str(Digest.of(b"new")))
    errand = Errand(
        engine=engine,
        known=KnownDigests(tmp_path / "known.json"),
        reference=APP,
        digest=Digest.of(b"new"),
        platform=None,
        policy=Policy(remove_old_image=True),
        watch=lambda _: Watch(clock=clock, until=1.0),
    )
    errand.take_over(new.inspect())
    tagged = [call.arguments for call in engine.calls if call.name == "tag"]
    assert tagged == [(old.id, "app", KEPT_TAG + old.id[7:19]), (new.id, "app", "1")]
