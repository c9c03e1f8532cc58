"""Labels say how a container is told to end; those that cannot be read touch nothing."""

from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.testing.engine_images import Behaviour
from fleet.updates.outcome import Result
from fleet.updates.stopping import Stopping, stopping
from tests.updates.site import START_FIRST, Shape, Site

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.mark.parametrize(
    ("labels", "how"),
    [
        ({}, Stopping()),
        ({"fleet.stop-signal": "SIGINT"}, Stopping(signal="SIGINT")),
        ({"com.centurylinklabs.watchtower.stop-signal": "sigquit"}, Stopping(signal="SIGQUIT")),
        ({"fleet.stop-signal": "RTMIN+3", "fleet.stop-timeout": "90"}, Stopping(signal="RTMIN+3", timeout_s=90)),
        ({"fleet.stop-timeout": "2m"}, Stopping(timeout_s=120)),
        ({"fleet.stop-timeout": "0"}, Stopping(timeout_s=0)),
        ({"fleet.stop-signal": "9"}, Stopping(signal="9")),
    ],
)
def test_labels_say_how(labels: dict[str, str], how: Stopping) -> None:
    assert stopping(labels) == how


@pytest.mark.parametrize(
    "labels",
    [
        {"fleet.stop-signal": "please"},
        {"fleet.stop-timeout": "soon"},
        {"fleet.stop-timeout": "2h"},
        {"fleet.stop-timeout": "-1"},
    ],
)
def test_what_cannot_be_read_touches_nothing(labels: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot read the label stop-"):
        stopping(labels)
    site = Site(tmp_path, Shape(body={"Labels": labels}))
    assert site.update().result is Result.SKIPPED
    assert site.engine.running()["web"] == site.before


@pytest.mark.parametrize("order", [{}, START_FIRST["Labels"]])
def test_the_old_one_is_stopped_so(order: dict[str, str], tmp_path: Path) -> None:
    labels = {"fleet.stop-signal": "SIGINT", "fleet.stop-timeout": "3"} | order
    site = Site(tmp_path, Shape(body={"Labels": labels}, old=Behaviour(stop_takes_s=60)))
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.phases.stop_ms == 3_000
    assert [call.arguments for call in site.engine.calls if call.name == "stop"] == [(site.old_id, "SIGINT")]
