"""Which platform is said when a container is created: that of the image it is made from, and nothing that is none."""

from pathlib import Path

import pytest

from fleet.engine.protocol import CreateSpec, Inspect
from fleet.updates.emulated import foreign_platform
from fleet.updates.outcome import Result
from tests.updates.site import SHAPES, Site

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.mark.parametrize(
    ("image", "platform"),
    [
        ({}, ""),
        ({"Os": "linux", "Architecture": "amd64"}, ""),
        ({"Os": "linux", "Architecture": "arm", "Variant": "v7"}, "linux/arm/v7"),
        ({"Os": "", "Architecture": "s390x"}, "linux/s390x"),
        ({"Os": "linux", "Architecture": "a/b/c\n\x1b"}, ""),
        ({"Os": "lin ux", "Architecture": "s390x"}, ""),
    ],
)
def test_it_is_said_of_what_the_machine_only_emulates(image: Inspect, platform: str) -> None:
    assert foreign_platform(image, "amd64") == platform


@pytest.mark.parametrize(
    ("shape", "said"),
    [("always, anonymous data", [""]), ("rm, a new one that cannot start", ["", "linux/s390x"])],
)
def test_an_old_image_that_lied_about_itself_keeps_no_container_from_its_update(
    shape: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines refuse to create a container of another platform than is said; the old one is made again as what it is."""
    site, told = Site(tmp_path, SHAPES[shape]), []
    create, image = site.engine.create, site.engine.image

    def asked(spec: CreateSpec) -> str:
        told.append(spec.platform)
        return create(spec)

    def seen(name: str) -> Inspect | None:
        found = image(name)
        return {**found, "Architecture": "s390x"} if found and found["Id"] == site.old_image else found

    monkeypatch.setattr(site.engine, "create", asked)
    monkeypatch.setattr(site.engine, "image", seen)
    outcome = site.update()
    assert outcome.result is (Result.UPDATED if len(said) == 1 else Result.ROLLED_BACK), outcome.reason
    assert told == said
