"""What the doctor says of telling Home Assistant."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet.api.doctor import Check, Grade
from fleet.controller import home_pulse
from fleet.controller.home_pulse import HomeState
from fleet.settings.centre import MqttSettings
from fleet.web import doctor
from fleet.web.centre import Centre as Served
from tests.controller.centre import Centre


@pytest.fixture
def served(centre: Centre) -> Served:
    """A centre that tells Home Assistant."""
    settings = centre.settings.model_copy(update={"mqtt": MqttSettings(url="mqtt://127.0.0.1:1883")})
    return Served(settings=settings, db=centre.db)


def looked_at(served: Served) -> list[Check]:
    """Return what is said of it."""
    return [check for check in doctor._checks(served) if check.id in ("mqtt", "home-untold")]


def test_who_tells_nobody_hears_nothing_of_it(served: Served) -> None:
    assert looked_at(replace(served, settings=served.settings.model_copy(update={"mqtt": MqttSettings()}))) == []


@pytest.mark.parametrize(
    ("state", "ago", "grade", "text"),
    [
        (None, 0, Grade.WARN, "nothing is known on this machine of how Home Assistant is told"),
        (HomeState.TOLD, 5, Grade.PASS, "Home Assistant is told of 1 host, by mqtt://127.0.0.1:1883"),
        (HomeState.STANDBY, 5, Grade.PASS, "another one does"),
        (HomeState.AWAY, 5, Grade.WARN, "cannot reach it"),
        (HomeState.REFUSED, 5, Grade.WARN, "may fleet write there?"),
        (HomeState.TOLD, 500, Grade.WARN, "the process mqtt was last heard of at"),
    ],
)
def test_how_it_goes_is_said_once(state: HomeState | None, ago: int, grade: Grade, text: str, served: Served) -> None:
    if state is not None:
        reason = "" if state is HomeState.TOLD else text
        at = datetime.now(UTC) - timedelta(seconds=ago)
        home_pulse.beat(served.settings.state_dir, state, at, reason=reason, hosts=1)
    (check,) = looked_at(served)
    assert check.grade is grade
    assert text in check.text
    assert (check.fix != "") == (grade is Grade.WARN)
