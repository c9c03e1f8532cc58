"""How telling Home Assistant goes, noted in a file: by it the doctor sees an MQTT broker that is away, and a process that is dead."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

FILE = "mqtt.pulse"
"""No row, for the same reason as the planner's: it would be a write every few seconds."""

SILENT_AFTER = timedelta(minutes=2)
"""It is noted twice a minute at the least."""


class HomeState(StrEnum):
    """How the telling of Home Assistant goes."""

    TOLD = "told"
    """Home Assistant is told of all that changes."""
    REFUSED = "refused"
    """The MQTT broker answers, and does not take, or does not give, all that it is asked to."""
    AWAY = "away"
    """It is told nothing."""
    STANDBY = "standby"
    """Another centre of this fleet tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePulse:
    """How it went last."""

    state: HomeState
    since: datetime
    at: datetime
    """When that was noted."""
    reason: str = ""
    hosts: int = 0
    """Of how many hosts it is told."""

    def silent(self, now: datetime) -> bool:
        """Tell whether the process that notes it does not live any more."""
        return self.at <= now - SILENT_AFTER


def beat(state_dir: Path, state: HomeState, now: datetime, *, reason: str = "", hosts: int = 0) -> None:
    """Note how it goes at *now*; a disk that takes nothing is no reason to stop."""
    before = last(state_dir)
    since = before.since if before and before.state is state else now
    pulse = HomePulse(state=state, since=since, at=now, reason=reason, hosts=hosts)
    told = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(pulse).items()}
    fresh = state_dir / f".{FILE}"
    try:
        fresh.write_text(json.dumps(told), encoding="utf-8")
        fresh.replace(state_dir / FILE)
    except OSError:
        return


def last(state_dir: Path) -> HomePulse | None:
    """Return how it went last; None: it never did, or not on this machine."""
    try:
        told = json.loads((state_dir / FILE).read_text(encoding="utf-8"))
        times = {name: datetime.fromisoformat(told[name]).astimezone(UTC) for name in ("since", "at")}
        return HomePulse(**told | times | {"state": HomeState(told["state"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(state_dir: Path) -> None:
    """Take away what was noted: nobody is to be told any more."""
    (state_dir / FILE).unlink(missing_ok=True)
