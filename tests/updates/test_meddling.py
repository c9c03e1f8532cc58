"""People do as they like on their host, also in the middle of an update: what they put there stays, and never two run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.testing.engine_containers import MemoryContainer
from fleet.updates.execute import recover
from fleet.updates.outcome import Result, UpdateOutcome
from tests.updates.meddled import Meddled, at_number
from tests.updates.site import SHAPES, Site

pytestmark = pytest.mark.usefixtures("quick_disk")
SOMEBODY_ELSES = "mine:1"
CHOSEN = (
    "always, anonymous data",
    "start first",
    "rm, slow to stop",
    "a new one that exits",
    "three that live with it, one of them at second hand",
)


def containers(site: Site) -> list[MemoryContainer]:
    """Return all that are called as what is updated is, or was, or will be."""
    return [one for one in list(site.engine.world.containers.values()) if one.name.startswith("web")]


def remove(site: Site, *, old: bool = False, new: bool = False) -> None:
    """``docker rm -f`` the old one, the new ones, or both."""
    for one in containers(site):
        if old if one.id == site.old_id else new:
            site.engine.world.remove(one, force=True)


def put_another(site: Site) -> None:
    """``docker run --name web`` of another image, where the name is free."""
    if "web" not in site.engine.names():
        site.engine.run("web", SOMEBODY_ELSES)


def replace_all(site: Site) -> None:
    """Take all away, and put another one in its place."""
    remove(site, old=True, new=True)
    put_another(site)


def replace_old(site: Site) -> None:
    """Take the old one away, as ``docker compose up`` does, and put another one in its place."""
    remove(site, old=True)
    put_another(site)


def at_every_call(shape: str, tmp_path: Path, meddle: Callable[[Site], None]) -> list[tuple[Site, UpdateOutcome]]:
    """Meddle before each call of an update in turn; return what became of it, and of its host."""
    lived: list[tuple[Site, UpdateOutcome]] = []
    for at in range(1000):
        site = Site(tmp_path / str(at), SHAPES[shape])
        site.engine.add_image(SOMEBODY_ELSES)
        meddled = Meddled(site, at_number(at), meddle)
        outcome = site.live()
        site.engine = meddled.itself
        if len(meddled.calls) <= at:
            return lived
        recover(site.engine, site.open(site.path), site.clock)
        lived.append((site, outcome))
    raise AssertionError("an update of a thousand calls")


@pytest.mark.parametrize("meddle", [replace_all, replace_old])
@pytest.mark.parametrize("shape", CHOSEN)
def test_what_somebody_puts_in_its_place_meanwhile_runs_there_alone(
    shape: str, meddle: Callable[[Site], None], tmp_path: Path
) -> None:
    for at, (site, outcome) in enumerate(at_every_call(shape, tmp_path, meddle)):
        told = f"call {at}: {outcome.result}: {outcome.reason}; {site.engine.names()}"
        (web,) = containers(site)
        assert (web.name, web.running) == ("web", True), told
        theirs = web.image_id not in (site.old_image, site.new_image)
        assert outcome.result is not Result.ROLLBACK_FAILED, told
        assert not theirs or outcome.result in (Result.SKIPPED, Result.UPDATED), told
        assert all(site.engine.world.find(kid).running for kid in site.shape.kids), told  # type: ignore[union-attr]


@pytest.mark.parametrize("shape", CHOSEN)
def test_who_takes_the_new_one_away_gets_the_old_one_back(shape: str, tmp_path: Path) -> None:
    """Until the new one was verified, and so was all that goes with it; from there on it is theirs to take away."""
    lived = at_every_call(shape, tmp_path, lambda site: remove(site, new=True))
    lost = [at for at, (site, _) in enumerate(lived) if "web" not in site.engine.running()]
    assert lost == list(range(len(lived) - len(lost), len(lived)))
    assert len(lost) <= 16
    assert all(outcome.result is not Result.ROLLBACK_FAILED for _, outcome in lived)
