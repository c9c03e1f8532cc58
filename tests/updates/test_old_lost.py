"""Where the old container is lost and cannot be made again, the new one runs in its place: never nothing at all."""

import pytest

from fleet.errors import EngineError
from fleet.updates import recreate
from fleet.updates.outcome import Result
from tests.updates.site import Site

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def loses_old(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Let somebody remove the old container and its image while the new one, which is found to be bad, is looked at."""

    def bad(*_: object, **__: object) -> str:
        site.engine.remove(site.old_id, force=True)
        del site.engine.world.images.images[site.old_image]
        return "cannot get the new container healthy"

    monkeypatch.setattr(recreate, "verify", bad)
    return site


def test_the_new_one_runs_in_its_place_and_both_are_told(loses_old: Site) -> None:
    outcome = loses_old.update()
    assert outcome.result is Result.ROLLBACK_FAILED
    assert outcome.reason.startswith("cannot get the new container healthy; and the way back failed: ")
    assert outcome.reason.endswith("the old container is lost, and the new one was left to run in its place")
    web = loses_old.engine.running()["web"]
    assert web["Image"] == loses_old.new_image
    assert web["HostConfig"]["RestartPolicy"] == loses_old.before["HostConfig"]["RestartPolicy"]
    assert loses_old.engine.names() == ["bystander", "web"]


def test_that_the_new_one_cannot_run_either_is_told(loses_old: Site) -> None:
    loses_old.engine.fail("start", EngineError("cannot start it: no space left on device"), after=1, times=99)
    outcome = loses_old.update()
    assert outcome.result is Result.ROLLBACK_FAILED
    assert outcome.reason.endswith(
        "; the new container cannot take its place either: cannot start it: no space left on device"
    )
